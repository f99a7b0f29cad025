"""What callers type: text streams on lk.chat, read whole and within limits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine

from livekit import rtc

TOPIC = "lk.chat"
LONGEST = 256 * 1024  # characters
AT_ONCE = 16

log = logging.getLogger(__name__)


class ChatIn:
    """`typed` gets who wrote it, and every message that came whole and is not blank."""

    def __init__(self, typed: Callable[[str, str], None]) -> None:
        self._typed = typed
        self._open = 0

    def taken(self, reader: rtc.TextStreamReader, identity: str) -> Coroutine[object, object, None] | None:
        """The work of reading this message; None, and the stream closed, when too many are being read."""
        if self._open >= AT_ONCE:
            reader.close()
            return None
        self._open += 1
        return self._read(reader, identity)

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        text = ""
        try:
            async for chunk in reader:
                text += chunk
                if len(text) > LONGEST:
                    log.warning("chat message dropped: too long", extra={"limit": LONGEST})
                    reader.close()
                    return
        except rtc.StreamError as error:
            log.info("chat message dropped: its stream broke", extra={"reason": str(error)})
            return
        finally:
            self._open -= 1
        if text.strip():
            self._typed(identity, text)
