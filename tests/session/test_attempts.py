"""Who is asked, when, and again when: the candidates of a request, and what a worker remembers of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentd.aio import now
from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.session import resilience
from agentd.session.attempts import BUDGET_S, RETRY_AFTER_S
from agentd.session.setup import Candidate
from agentd.session.standing import ASIDE_S, REFUSALS
from tests.session.test_session import story

Answers = list[ProviderError | None]
"""What each request gets, in turn; None: an answer. The last one again and again."""


class Provider:
    def __init__(self, answers: Answers, takes_s: float = 0.0) -> None:
        self.answers = answers
        self.takes_s = takes_s
        self.asked_at: list[float] = []

    async def answer(self) -> str:
        self.asked_at.append(now())
        await asyncio.sleep(self.takes_s)
        error = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if error is not None:
            raise error
        return "ok"


class Desk:
    """Requests of one worker to these providers, in order."""

    def __init__(self, **providers: Provider) -> None:
        self.candidates = tuple(Candidate(name, provider) for name, provider in providers.items())
        self.told: list[tuple[str, str]] = []
        self.began = now()

    def record(self, kind: str, /, **data: Any) -> None:
        self.told.append((data["provider"], data["outcome"]))

    async def ask(self) -> str:
        return await resilience.request("llm", self.candidates, lambda provider: provider.answer(), self.record)

    def asked_at(self, name: str) -> list[float]:
        """Seconds since the beginning."""
        provider = next(each.provider for each in self.candidates if each.name == name)
        return [round(at - self.began, 3) for at in provider.asked_at]


def busy(retry_after_s: float | None = None) -> ProviderUnavailable:
    return ProviderUnavailable("fake", "HTTP 429", retry_after_s=retry_after_s)


@story
async def test_f11_a_wait_beyond_the_budget_is_a_failure_at_once() -> None:
    desk = Desk(first=Provider([busy(BUDGET_S + 10)]))
    with pytest.raises(ProviderUnavailable, match="429"):
        await desk.ask()
    assert now() - desk.began < 0.1


@story
async def test_f11_a_wait_beyond_the_budget_is_the_next_candidates_turn_at_once() -> None:
    desk = Desk(first=Provider([busy(BUDGET_S + 10)]), spare=Provider([None]))
    assert await desk.ask() == "ok"
    assert now() - desk.began < 0.1


@story
async def test_f11_nobody_is_asked_again_before_the_time_that_it_has_said_and_nobody_waits_for_anothers() -> None:
    desk = Desk(
        first=Provider([busy(5), None]),
        hanging=Provider([ProviderTimeout("fake", "no answer")], takes_s=1.0),
        long=Provider([busy(300)]),
    )
    assert await desk.ask() == "ok"
    assert desk.asked_at("first") == [0.0, 5.0]
    assert desk.asked_at("hanging") == [0.0, 1.0 + RETRY_AFTER_S]
    assert desk.asked_at("long") == [1.0]


@story
async def test_f12_the_next_request_begins_with_the_next_candidate() -> None:
    desk = Desk(first=Provider([ProviderTimeout("fake", "no answer")], takes_s=9.0), spare=Provider([None]))
    await desk.ask()
    began = now()
    await desk.ask()
    assert now() == began
    assert desk.told == [("first", "timeout"), ("spare", "ok"), ("first", "aside"), ("spare", "ok")]


@story
async def test_f12_when_its_time_is_over_one_request_finds_out_whether_it_is_back() -> None:
    desk = Desk(first=Provider([busy()], takes_s=1.0), spare=Provider([None]))
    await desk.ask()
    await asyncio.sleep(ASIDE_S)
    await asyncio.gather(*(desk.ask() for _ in range(5)))
    assert len(desk.asked_at("first")) == 2, "one of the five"
    await asyncio.sleep(ASIDE_S)
    first: Provider = desk.candidates[0].provider
    first.answers = [None]
    await desk.ask()
    await asyncio.gather(*(desk.ask() for _ in range(5)))
    assert len(desk.asked_at("first")) == 2 + 1 + 5, "it is back for all"


@story
async def test_f11_a_provider_is_left_alone_for_as_long_as_it_has_said() -> None:
    desk = Desk(first=Provider([busy(120), None]), spare=Provider([None]))
    for _ in range(12):
        await desk.ask()
        await asyncio.sleep(10)
    await desk.ask()
    assert desk.asked_at("first") == [0.0, 120.0]


@story
async def test_f12_where_all_have_failed_lately_they_are_asked_all_the_same() -> None:
    desk = Desk(first=Provider([busy(300), None]), spare=Provider([busy(100), None]))
    with pytest.raises(ProviderUnavailable):
        await desk.ask()
    assert await desk.ask() == "ok"
    assert desk.told[-1] == ("spare", "ok"), "who comes back first"
    alone = Desk(alone=Provider([busy(300), None]))
    with pytest.raises(ProviderUnavailable):
        await alone.ask()
    assert await alone.ask() == "ok"


@story
async def test_f13_one_refusal_is_about_what_was_asked_and_several_in_a_row_about_the_provider() -> None:
    desk = Desk(first=Provider([ProviderRefused("fake", "HTTP 401")]), spare=Provider([None]))
    for _ in range(REFUSALS):
        await desk.ask()
    assert len(desk.asked_at("first")) == REFUSALS
    await desk.ask()
    assert len(desk.asked_at("first")) == REFUSALS
    assert desk.told[-2:] == [("first", "aside"), ("spare", "ok")]


def test_what_a_plugin_raises_of_its_own_is_a_failure_of_that_provider(caplog: pytest.LogCaptureFixture) -> None:
    @story
    async def told() -> None:
        class Broken(Provider):
            async def answer(self) -> str:
                raise KeyError("choices")

        class Slow(Provider):
            async def answer(self) -> str:
                raise TimeoutError

        class Grouped(Provider):
            async def answer(self) -> str:
                raise ExceptionGroup("tasks", [ProviderRefused("fake", "no credit")])

        desk = Desk(broken=Broken([]), slow=Slow([]), grouped=Grouped([]), spare=Provider([None]))
        assert await desk.ask() == "ok"
        assert [outcome for _, outcome in desk.told] == ["unavailable", "timeout", "refused", "ok"]

    told()
    assert "KeyError" in caplog.text, "with its traceback, for whoever mends the plugin"
