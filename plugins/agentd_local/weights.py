"""Where installed packages keep their model files, and whether those are the files that we know.

The packages of weights are small one-person projects: we take a file by its path, import none of
their code, and refuse a file with any other content.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from agentd.errors import ProviderRefused


def package_file(package: str, relative: str, *, provider: str, extra: str = "local") -> Path:
    """The path of a file inside an installed package, which is not imported. Raises ProviderRefused."""
    spec = importlib.util.find_spec(package)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    for root in roots:
        path = Path(root, relative)
        if path.exists():
            return path
    raise ProviderRefused(provider, f"{relative} of the package {package} is missing: pip install 'agentd[{extra}]'")


def check_sha256(path: Path, expected: str, *, provider: str) -> Path:
    """The path itself. Raises ProviderRefused when the file is not the one whose hash we know."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ProviderRefused(provider, f"cannot read {path}: {error.strerror}") from error
    if found != expected:
        raise ProviderRefused(
            provider,
            f"{path} has sha256 {found}, expected {expected}: "
            "install the package again, or set model_path to trust a file of your own",
        )
    return path


def existing(path: str, *, provider: str) -> Path:
    """A path that the user named. Raises ProviderRefused when nothing is there."""
    found = Path(path).expanduser()
    if not found.exists():
        raise ProviderRefused(provider, f"model_path {found} does not exist")
    return found
