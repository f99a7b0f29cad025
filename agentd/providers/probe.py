"""What a provider may offer beside its protocol: to find out cheaply whether it would serve a call.

`agentd validate --probe` makes each provider as a worker would, and then asks those that are `Probed`. For all others
that they could be made is the answer, as it is for a model that is loaded from the disk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from agentd.providers.tts import TTS

WORD = "Hi."


@runtime_checkable
class Probed(Protocol):
    """A provider of any kind."""

    async def probe(self) -> None:
        """The cheapest request that a wrong key, model or address fails. Raises ProviderError, and leaves nothing open.

        Who asks sets a limit to its time.
        """
        ...


async def say_a_word(tts: TTS) -> None:
    """A probe for a synthesiser that tells of nothing before it is to speak. Raises ProviderError."""

    async def word() -> AsyncIterator[str]:
        yield WORD

    async for _ in tts.synthesize(word(), language=None):
        pass
