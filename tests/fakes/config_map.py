"""A directory that changes as the kubelet changes the volume of a ConfigMap."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path


def publish(mount: Path, files: Mapping[str, str]) -> None:
    """All files, by their paths, are written into a new directory that is named by the time; then `..data` is made to
    point there by a rename; then the names that a reader sees, links through `..data`, come and go; the old directory
    goes last."""
    mount.mkdir(parents=True, exist_ok=True)
    data, upcoming = mount / "..data", mount / "..data_tmp"
    old = mount / os.readlink(data) if data.is_symlink() else None
    new = Path(tempfile.mkdtemp(prefix="..2030_01_31_12_00_00.", dir=mount))
    new.chmod(0o755)
    for path, text in files.items():
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        (new / path).write_text(text)
    upcoming.symlink_to(new.name)
    upcoming.rename(data)
    names = {path.partition("/")[0] for path in files}
    for name in sorted(names):
        if not (mount / name).is_symlink():
            (mount / name).symlink_to(f"..data/{name}")
    for link in mount.iterdir():
        if not link.name.startswith("..") and link.name not in names:
            link.unlink()
    if old is not None:
        shutil.rmtree(old)
