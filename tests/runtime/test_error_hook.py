from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentd import logs
from agentd.runtime.error_hook import WAITING, ErrorHook, ErrorHookSettings, report_of
from agentd.tools import signing
from tests.fakes.http_receiver import Receiver, receiving

SECRET = "whsec_" + "A" * 32


def failing(text: str) -> None:
    try:
        raise KeyError(text)
    except KeyError as error:
        raise RuntimeError(f"{text} is not there") from error


def failure(call: Callable[[], None]) -> BaseException:
    try:
        call()
    except BaseException as error:  # whatever it is
        return error
    raise AssertionError("it did not fail")


def test_a_report_says_what_failed_and_where_and_nothing_of_what_was_said() -> None:
    error = failure(lambda: failing("my name is Ann"))
    report = report_of(error, "agentd.x", {"session": "s-1", "agent": "a", "turn": 2, "text": "Ann", "room": "+1555"})
    assert report["exceptions"] == ["builtins.RuntimeError", "builtins.KeyError"]
    assert report["frames"][-1]["function"] == "failing"
    assert report["frames"][-1]["file"] == "tests/runtime/test_error_hook.py"
    assert (report["session"], report["turn"]) == ("s-1", 2)
    assert "Ann" not in str(report)
    assert "+1555" not in str(report)


def test_the_first_of_a_group_is_named() -> None:
    group = ExceptionGroup("many", [ValueError("a"), OSError("b")])
    assert report_of(group, "x", {})["exceptions"] == ["builtins.ExceptionGroup", "builtins.ValueError"]


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    taken: list[tuple[dict[str, str], bytes]] = []

    class Taking(Receiver):
        def do_POST(self) -> None:
            taken.append(({name.lower(): value for name, value in self.headers.items()}, self.body()))
            self.send_response(204)
            self.end_headers()

    with receiving(Taking) as address:
        yield f"{address}/errors", taken


@contextmanager
def hooked(url: str) -> Iterator[tuple[ErrorHook, logging.Logger]]:
    hook = ErrorHook(ErrorHookSettings(url=url, secret=SECRET))
    logger = logging.getLogger("tests.error_hook")
    logger.addHandler(hook)
    try:
        yield hook, logger
    finally:
        logger.removeHandler(hook)
        hook.close()


def log_failure(logger: logging.Logger, text: str = "secret words") -> None:
    try:
        failing(text)
    except RuntimeError:
        logger.exception("a session crashed: %s", text)


def test_what_is_logged_with_a_traceback_is_told_signed_and_once_a_minute() -> None:
    with receiver() as (url, taken):
        with hooked(url) as (_, logger), logs.fields(session="s-9"):
            logger.error("no exception")
            for _ in range(3):
                log_failure(logger)
        ((headers, body),) = taken
    signing.verify(signing.keys(SECRET), headers, body, time.time())
    told: dict[str, Any] = json.loads(body)
    assert (told["type"], told["session"], told["times"]) == ("error.unexpected", "s-9", 1)
    assert b"secret words" not in body


def test_what_came_meanwhile_is_counted() -> None:
    hook = ErrorHook(ErrorHookSettings(url="http://127.0.0.1:9/"))
    report = {"exceptions": ["x"], "frames": []}
    assert [hook._due(report, at) for at in (0.0, 1.0, 59.0, 61.0, 62.0)] == [1, 0, 0, 3, 0]
    hook.close()


def test_a_receiver_that_hangs_holds_nobody_up() -> None:
    hook = ErrorHook(ErrorHookSettings(url="http://127.0.0.1:9/"))
    gate = threading.Event()
    hook._send = lambda body: gate.wait() and None  # type: ignore[method-assign, assignment, func-returns-value]
    record = logging.getLogger("t").makeRecord("t", logging.ERROR, "f", 1, "m", (), None)
    for number in range(WAITING + 50):
        error = type(f"E{number}", (Exception,), {})()
        record.exc_info = (type(error), error, None)
        hook.emit(record)
    assert hook.dropped >= 49
    gate.set()
    hook.close()


@pytest.mark.parametrize("secret", ["plain", "whsec_short"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(signing.SecretMalformed):
        ErrorHook(ErrorHookSettings(url="http://127.0.0.1:9/", secret=secret))


def test_a_program_finds_each_report_and_no_secret_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    program = tmp_path / "errors.py"
    program.write_text(
        "import json, os, sys\n"
        "report = json.load(sys.stdin)\n"
        "told = [report['exceptions'], report['session'], 'OPENAI_API_KEY' in os.environ]\n"
        f"open({str(tmp_path / 'told')!r}, 'w').write(json.dumps(told))\n"
    )
    hook = ErrorHook(ErrorHookSettings(command=(sys.executable, str(program))))
    error = failure(lambda: failing("x"))
    info = (type(error), error, error.__traceback__)
    hook.emit(logging.makeLogRecord({"name": "t", "levelno": logging.ERROR, "exc_info": info, "session": "s-1"}))
    hook.close()
    told = json.loads((tmp_path / "told").read_text())
    assert told == [["builtins.RuntimeError", "builtins.KeyError"], "s-1", False]


def test_a_program_that_fails_or_is_not_there_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    for command in ((sys.executable, "-c", "raise SystemExit(3)"), ("/nowhere/at/all",)):
        hook = ErrorHook(ErrorHookSettings(command=command))
        error = failure(lambda: failing("x"))
        info = (type(error), error, error.__traceback__)
        hook.emit(logging.makeLogRecord({"name": "t", "levelno": logging.ERROR, "exc_info": info}))
        hook.close()
    found = [record.getMessage() for record in caplog.records if record.name == "agentd.runtime.error_hook"]
    assert found == ["error hook failed: CalledProcessError", "error hook failed: FileNotFoundError"]
