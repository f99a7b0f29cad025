"""A model file as an onnxruntime session that starts no threads of its own: for small models that are asked often."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from agentd.errors import ProviderRefused


def onnx_session(model_file: Callable[[], Path], *, provider: str, inputs: Collection[str], wanted: str) -> Any:
    """Blocks while the model loads. Raises ProviderRefused, also when the file has other inputs than these: `wanted`
    says which they are, and of what model."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderRefused(provider, "onnxruntime is not installed: pip install 'agentd[local]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    path = model_file()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise ProviderRefused(provider, f"cannot load {path}: {error}") from error
    names = sorted(node.name for node in session.get_inputs())
    if names != sorted(inputs):
        raise ProviderRefused(provider, f"{path} has inputs {names}, wanted {wanted}")
    return session
