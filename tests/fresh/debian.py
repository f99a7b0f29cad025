"""A machine on which nothing was done yet: a minimal Debian in a directory, made by debootstrap, entered by chroot.

It has its own files and processes; the network is shared with ours, and how packages are reached (proxies,
certificates, mirrors) is taken from this machine when it is made. Needs root, debootstrap and git.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = "python3,make,ca-certificates"  # what README asks for
TREE = "/srv/agentd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REACH = re.compile(r"proxy|^PIP_|^SSL_CERT|CA_BUNDLE$", re.IGNORECASE)  # variables by which packages are reached
REACH_FILES = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
REACH_GO = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOFLAGS")
# In namespaces of its own, so that its end is the end of all its processes and mounts.
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL")
ENTER = """\
root=$1 directory=$2 user=$3 bind=$4; shift 4
mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" || exit
if [ -n "$bind" ]; then
    mkdir -p "$root$bind"
    mount --bind "$bind" "$root$bind" && mount -o remount,bind,ro "$root$bind" || exit
fi
chroot --userspec="$user" "$root" env -C "$directory" "$@"
exit $?
"""


class CannotBeMade(Exception):
    """This machine cannot make another; the message says what it lacks."""


@dataclass
class Running:
    """A command in the machine, and the lines that it has written to either output."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def line(self, wanted: Callable[[str], object], within_s: float) -> str:
        """The first line that is wanted. Raises AssertionError, with all lines, when the command ends before it."""
        async with asyncio.timeout(within_s):
            while True:
                for line in self.lines:
                    if wanted(line):
                        return line
                assert self.process.returncode is None, "\n".join(self.lines)
                self.changed.clear()
                await self.changed.wait()

    async def ended(self, within_s: float) -> int:
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    def interrupt(self) -> None:
        """As Ctrl-C at its terminal."""
        os.killpg(self.process.pid, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Debian:
    root: Path
    environment: Mapping[str, str]

    @asynccontextmanager
    async def running(
        self,
        *command: str,
        environment: Mapping[str, str] | None = None,
        typed: str = "",
        user: str = "0:0",
        bind: Path | None = None,
    ) -> AsyncIterator[Running]:
        """`command` in the tree; killed, with all that it started, at the end of the block.

        `bind`: a directory of ours that is there too, to be read.
        """
        variables = [f"{name}={value}" for name, value in {**self.environment, **(environment or {})}.items()]
        process = await asyncio.create_subprocess_exec(
            *NAMESPACES, "bash", "-c", ENTER, "enter", str(self.root), TREE, user, str(bind or ""),
            "-i", *variables, *command,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(typed.encode())
        process.stdin.close()
        running = Running(process)
        async with asyncio.TaskGroup() as group:
            group.create_task(_read(running))
            try:
                yield running
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


async def _read(running: Running) -> None:
    stdout = running.process.stdout
    assert stdout is not None
    async for line in stdout:
        running.lines.append(line.decode(errors="replace").rstrip())
        sys.stdout.write(f"    | {running.lines[-1]}\n")
        running.changed.set()
    await running.process.wait()
    running.changed.set()


def new_debian(root: Path, release: str = "bookworm") -> Debian:
    """Takes about a minute. Raises CannotBeMade, CalledProcessError."""
    if os.geteuid() != 0:
        raise CannotBeMade("a fresh machine is made by debootstrap and chroot, which need root")
    if shutil.which("debootstrap") is None:
        raise CannotBeMade("debootstrap is not installed: apt-get install debootstrap")
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, str(root), *_mirror()]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
    for path in REACH_FILES:
        if Path(path).exists():
            shutil.copyfile(path, root / path.lstrip("/"))
    acquire = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True).stdout
    (root / "etc/apt/apt.conf.d/99reach").write_text(acquire)
    _copy_tree(root / TREE.lstrip("/"))
    reach = {name: value for name, value in os.environ.items() if REACH.search(name)}
    return Debian(root=root, environment={"HOME": "/root", "PATH": PATH, "LANG": "C.UTF-8", **reach, **_go_reach()})


def _mirror() -> list[str]:
    """Where this machine gets Debian from; nothing where it cannot be told: debootstrap then takes its own."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()[:1]


def _go_reach() -> dict[str, str]:
    if shutil.which("go") is None:
        return {}
    told = subprocess.run(["go", "env", "-json", *REACH_GO], capture_output=True, text=True, check=True).stdout
    return {name: value for name, value in json.loads(told).items() if value}


def _copy_tree(to: Path) -> None:
    """What git tracks, as it lies here."""
    to.mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    packed = subprocess.run(
        ["tar", "--create", "--null", "--files-from=-"], cwd=ROOT, input=files, capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "--extract", "--no-same-owner"], cwd=to, input=packed, check=True)
