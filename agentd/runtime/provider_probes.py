"""Every provider that agents' files choose, made and asked once as a worker would do it: `agentd validate --probe`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentd.aio import now
from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.errors import AgentdError, ProviderError
from agentd.providers.fields import Secret
from agentd.providers.probe import Probed
from agentd.registry import Registry
from agentd.revealed import remember, without_secrets
from agentd.runtime.prepared import ProviderPool

PROBE_S = 10.0
"""After the provider was made: what is slower than this would not be waited for in a call either."""

AT_ONCE = 4
"""So that what loads models does not make those late that only wait for an answer."""

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """`reason` "": it serves; else why not, in the provider's words where it has some. Holds no secret."""

    kind: str
    provider: str
    reason: str
    seconds: float


def choices_of(definition: AgentDefinition) -> Iterator[tuple[str, ProviderChoice]]:
    """Every provider of an agent, fallbacks too, with the setting that chooses it."""
    kinds = ("stt", "llm", "tts", "realtime", "vad", "turn_detector", "interruption_detector", "language_id")
    chosen: list[tuple[str, ProviderChoice | None]] = [(kind, getattr(definition, kind)) for kind in kinds]
    chosen.append(("context.llm", definition.context.llm))
    for tag, override in definition.languages.items():
        chosen += [(f"languages.{tag}.stt", override.stt), (f"languages.{tag}.tts", override.tts)]
    chosen += [(f"when_busy[{number}].llm", step.llm) for number, step in enumerate(definition.when_busy)]
    for setting, choice in chosen:
        if choice is not None:
            yield setting, choice
            yield from ((f"{setting}.fallback[{number}]", each) for number, each in enumerate(choice.fallback))


def key_of(choice: ProviderChoice) -> Key:
    """Equal for those that a worker would share."""
    return (choice.kind, choice.provider, choice.digest)


async def probe_all(
    registry: Registry, choices: Iterable[ProviderChoice], *, limit_s: float = PROBE_S
) -> Mapping[Key, Probe]:
    """Each once, however often it was chosen."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(choice: ProviderChoice) -> Probe:
        async with turn:
            return await probed(registry, choice, limit_s=limit_s)

    wanted = {key_of(choice): choice for choice in choices}
    async with asyncio.TaskGroup() as group:
        tasks = {key: group.create_task(one(choice)) for key, choice in wanted.items()}
    return {key: task.result() for key, task in tasks.items()}


async def probed(registry: Registry, choice: ProviderChoice, *, limit_s: float = PROBE_S) -> Probe:
    """Never raises: what is wrong is the answer."""
    began = now()
    _know_secrets(choice.settings)
    pool = ProviderPool(registry)
    reason = ""
    try:
        provider = await pool.acquire(choice)
        try:
            if isinstance(provider, Probed):
                async with asyncio.timeout(limit_s):
                    await provider.probe()
        finally:
            await pool.release([choice])
    except TimeoutError:
        reason = f"no answer within {limit_s:g} s"
    except ProviderError as error:
        reason = error.message
    except AgentdError as error:
        reason = str(error)
    except Exception as error:  # a plugin is foreign code: whatever its probe raises is why it would not serve
        reason = f"{type(error).__name__}: {error}"
    said = without_secrets(" ".join(reason.split()))
    return Probe(kind=choice.kind, provider=choice.provider, reason=said, seconds=now() - began)


def _know_secrets(settings: Any) -> None:
    """Those that stand in the file itself, so that they are taken out of what a provider says."""
    values = [getattr(settings, field.name) for field in dataclasses.fields(settings)]
    values += [each for value in values if isinstance(value, Mapping) for each in value.values()]
    for value in values:
        if isinstance(value, Secret) and value.source == "literal":
            remember(value.value)
