# ruff: noqa: T201 -- printing is one of the misdeeds
"""Python tools that behave, and that misbehave in every way. Tests copy this file to agents.d/tools/."""

import asyncio
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from os import system  # noqa: F401 -- must not be callable as a tool
from pathlib import Path
from subprocess import run  # noqa: F401 -- must not be callable as a tool

from agentd.tools import RunContext

VERSION = "one"
calls = 0


@dataclass
class Booking:
    """A booking.

    Args:
        name: Who comes.
    """

    name: str
    party: int = 2


def book(booking: Booking, ctx: RunContext) -> dict[str, object]:
    """Book a table."""
    ctx.variables["booked"] = booking.name
    ctx.variables["count"] = ctx.variables.get("count", 0) + 1
    ctx.variables.pop("draft", None)
    return {"ok": True, "booking": booking, "for": ctx.caller.identity, "room": ctx.session.room}


async def wait_for_kitchen(ctx: RunContext, dish: str = "soup") -> str:
    """Ask the kitchen."""
    await ctx.say(f"I ask for {dish}.")
    await asyncio.sleep(0)
    ctx.say("Still asking.")
    return "The kitchen says yes."


def goodbye(ctx: RunContext) -> None:
    """End it."""
    ctx.end_call(say="Bye!")


def version() -> str:
    """Which code runs."""
    return VERSION


def count() -> int:
    """How often this process was called."""
    global calls
    calls += 1
    return calls


def pid() -> int:
    """The process."""
    return os.getpid()


def nothing() -> None:
    """Says nothing."""


def long() -> str:
    """Says too much."""
    return "x" * 100_000


def environment() -> dict[str, str]:
    """What it sees."""
    return {**os.environ, "cwd": os.getcwd(), "fds": str(len(os.listdir("/proc/self/fd")))}


def limits() -> dict[str, int]:
    """What it may use."""
    names = {
        "open_files": resource.RLIMIT_NOFILE,
        "core": resource.RLIMIT_CORE,
        "file_bytes": resource.RLIMIT_FSIZE,
        "memory_bytes": resource.RLIMIT_AS,
    }
    return {name: resource.getrlimit(which)[0] for name, which in names.items()}


def murmurs() -> str:
    """Prints one line."""
    print("said quietly")
    return "murmured"


def prints() -> str:
    """Prints a lot."""
    print("said by the tool", flush=True)
    for i in range(50_000):
        print(i)
    os.write(1, b"\xff\xfe no text\n")
    return "printed"


def raises() -> None:
    """Fails."""
    raise ValueError("no such table")


async def raises_later() -> None:
    """Fails."""
    await asyncio.sleep(0)
    raise KeyError("gone")


def exits() -> None:
    """Calls sys.exit."""
    sys.exit(3)


def hard_exit() -> None:
    """Calls os._exit."""
    os._exit(7)


def segfaults() -> None:
    """Reads address 0."""
    ctypes.string_at(0)


def blocks(mark: str) -> None:
    """Never returns."""
    Path(mark).write_text(str(os.getpid()))
    time.sleep(1000)


async def blocks_loop(mark: str) -> None:
    """Never returns, on the loop."""
    Path(mark).write_text(str(os.getpid()))
    while True:
        pass


def ignores_sigterm(mark: str) -> None:
    """Never returns and does not want to end."""
    # a thread cannot set handlers: block it in a child that shares our group
    subprocess.Popen(
        [sys.executable, "-c", "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"]
    )
    Path(mark).write_text(str(os.getpid()))
    time.sleep(1000)


def leaves_daemon(mark: str) -> None:
    """Starts a process that leaves our group, then never returns."""
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    Path(mark).write_text(str(child.pid))
    time.sleep(1000)


def forks() -> str:
    """Forks, and both return."""
    return "parent" if os.fork() else "child"


def dies_and_leaves_child(mark: str) -> None:
    """Dies while a child keeps the link open."""
    if os.fork() == 0:
        Path(mark).write_text(str(os.getpid()))
        time.sleep(1000)
    while not Path(mark).exists():
        time.sleep(0.001)
    os._exit(9)


def eats_memory() -> str:
    """Allocates without end."""
    hoard = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))


def makes_file() -> str:
    """Leaves a file in its working directory."""
    Path("left.txt").write_text("x")
    return os.getcwd()


def speaks_raw() -> None:
    """Writes rubbish onto the link."""
    for fd in range(3, 1024):
        try:
            os.write(fd, b"\xff" * 64)
        except OSError:
            continue
    time.sleep(1000)


def floods_says(ctx: RunContext) -> str:
    """Speaks without end."""
    for i in range(500):
        ctx.say(f"number {i}")
    return "done"


def bad_variables(ctx: RunContext) -> str:
    """Leaves what is no JSON."""
    ctx.variables["x"] = float("nan")
    return "done"


def untyped(day):  # type: ignore[no-untyped-def]
    """No hints."""


def kills_itself() -> None:
    """SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


class Counter:
    """What tills have in common."""

    def count_up(self) -> int:
        """How often it was called in this process."""
        self.calls = getattr(self, "calls", 0) + 1
        return self.calls


class Till(Counter):
    """An object whose methods are tools."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def pay(self, ctx: RunContext, amount: int) -> str:
        """Take money.

        Args:
            amount: In cents.
        """
        if amount > self.limit:
            raise ValueError(f"more than {self.limit}")
        ctx.variables["paid"] = amount
        return f"{amount} of {self.limit}"

    async def refund(self, amount: int) -> str:
        """Give money back."""
        await asyncio.sleep(0)
        return f"{amount} back"

    @staticmethod
    def not_a_tool() -> str:
        """Has no object."""
        return ""

    def _audit(self) -> None:
        """Is private."""


class Vague:
    """Cannot be described."""

    def plan(self, day):  # type: ignore[no-untyped-def]
        """No hints."""


class Nobody:
    """Has nothing to call."""


till = Till(100)
vague = Vague()
nobody = Nobody()
ROOT = Path("/")


async def reports(ctx: RunContext) -> str:
    """Tells how far it has come."""
    ctx.disallow_interruptions()
    await ctx.update("Half of it.")
    ctx.update("All of it.")
    return "done"


def changes_tools(ctx: RunContext) -> str:
    """Adds and removes tools."""
    ctx.tools.add(till.pay, version, timeout=3)
    ctx.tools.add("tools.code:till.refund", "find_slot")
    ctx.tools.remove("book", "count")
    return "changed"


def adds_what_cannot_be(ctx: RunContext, ref: str) -> str:
    """Adds what is no tool."""
    ctx.tools.add((lambda: None) if ref == "lambda" else ref)
    return "added"


def spins(mark: str) -> None:
    """Uses all the processor time that it is given, and more."""
    Path(mark).write_text(str(os.getpid()))
    while True:
        pass


def writes_without_end() -> str:
    """Fills the disk, if it may."""
    with open("big", "wb") as file:
        while True:
            file.write(b"x" * 1024 * 1024)


def opens_without_end() -> None:
    """Opens files, if it may."""
    files = []
    while True:
        files.append(open(os.devnull))  # noqa: SIM115 -- leaking is the misdeed


kept = []


def leaks_memory() -> str:
    """Keeps what it allocates."""
    kept.append(bytearray(200 * 1024 * 1024))
    return str(os.getpid())


def forks_without_end(mark: str) -> None:
    """A fork bomb, small enough for a test as root, whom the kernel lets do so."""
    Path(mark).write_text(str(os.getpid()))
    for _ in range(6):
        os.fork()
    time.sleep(1000)


ESCAPE = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.chdir("/")
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(1000)
"""


def escapes(mark: str) -> None:
    """Starts a daemon that has left the group, the session, the directory and the environment; never returns."""
    subprocess.run([sys.executable, "-c", ESCAPE, mark], env={}, check=True)
    time.sleep(1000)


def floods_output_without_newline() -> str:
    """One line of 20 MB."""
    os.write(1, b"x" * 20_000_000)
    return "printed"


def with_secret(ctx: RunContext, misdeed: str = "") -> str:
    """Uses a secret."""
    key = ctx.secrets["STRIPE_KEY"]
    if misdeed == "raise":
        raise ValueError(f"no such account: {key}")
    if misdeed == "return":
        return f"the key is {key}"
    if misdeed == "show":
        return repr(ctx.secrets)
    return f"{len(key)} characters, in the environment: {key in os.environ.values()}"


def without_secret(ctx: RunContext) -> list[str]:
    """Looks for one."""
    return [*ctx.secrets, *(name for name, value in os.environ.items() if "sk_live" in value)]
