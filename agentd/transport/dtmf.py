"""The keys of a telephone, as LiveKit's SIP bridge tells and takes them."""

from __future__ import annotations

import asyncio
import logging

from livekit import rtc
from livekit.rtc.participant import PublishDTMFError

KEYS = {key: code for code, key in enumerate("0123456789*#ABCD")}
"""With their codes: the event numbers of RFC 4733."""

APART_S = 0.25
"""Between two keys: a tone of 100 ms and a gap that every exchange tells from it, with room for jitter."""

COMMA_S = 0.5
SEND_TIMEOUT_S = 3.0

log = logging.getLogger(__name__)


def key_of(pressed: rtc.SipDTMF) -> str:
    """The key, by its digit or else its code; "" for none that a telephone has."""
    key = (pressed.digit or "").upper()
    if key in KEYS:
        return key
    return next((each for each, code in KEYS.items() if code == pressed.code and not key), "")


async def send_keys(participant: rtc.LocalParticipant, keys: str) -> None:
    """One after the other. A key that cannot be sent ends it, and is logged."""
    for key in keys.upper():
        if key == ",":
            await asyncio.sleep(COMMA_S)
        elif key in KEYS:
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await participant.publish_dtmf(code=KEYS[key], digit=key)
            except (PublishDTMFError, TimeoutError) as error:
                log.warning("key not sent", extra={"reason": str(error) or "no answer"})
                return
            await asyncio.sleep(APART_S)
