"""Voices by name."""

from __future__ import annotations

import re

import httpx
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError

from agentd.errors import ProviderRefused, ProviderUnavailable
from agentd.providers.faults import http_fault
from agentd_elevenlabs.wire import PROVIDER, said

# ElevenLabs' own default voices: their ids are stable and every account has them. Others are asked for.
KNOWN = {
    "adam": "pNInz6obpgDQGcFmaJgB",
    "alice": "Xb7hH8MSUJpSbSDYk0k2",
    "aria": "9BWtsMINqrJLrRacOk9x",
    "bill": "pqHfZKP75CvOlQylNhV4",
    "brian": "nPczCjzI2devNBz1zQrb",
    "callum": "N2lVS1w4EtoT3dr4eOWO",
    "charlie": "IKne3meq5aSn9XLyUdCD",
    "charlotte": "XB0fDUnXU5powFXDhCwa",
    "chris": "iP95p4xoKVk53GoZ742B",
    "daniel": "onwK4e9ZLuTAKqWW03F9",
    "eric": "cjVigY5qzO86Huf0OWal",
    "george": "JBFqnCBsd6RMkjVDRZzb",
    "jessica": "cgSgspJ2msm6clMCkdW9",
    "laura": "FGY2WhTYpPnrIDTdsKH5",
    "liam": "TX3LPaxmHKxFdv7VOQHJ",
    "lily": "pFZP5JQG7iQjIQuC4Bku",
    "matilda": "XrExE9yKIg1WjnnlVkGX",
    "rachel": "21m00Tcm4TlvDq8ikWAM",
    "river": "SAz9YHcvj6GT2YYXdXww",
    "roger": "CwhRBWXzGAHq8TQ4Fs17",
    "sarah": "EXAVITQu4vr4xnSDxMaL",
    "will": "bIHbv24MWmeRgasZH58o",
}
_ID = re.compile(r"[A-Za-z0-9]{20}")


async def voice_id(voice: str, api_key: str, base_url: str, timeout_s: float) -> str:
    """The id of a voice given by id, by a known name, or by the name it has in the account. Raises ProviderError."""
    if known := KNOWN.get(voice.casefold()):
        return known
    if _ID.fullmatch(voice):
        return voice
    async with httpx.AsyncClient(timeout=timeout_s) as http:
        client = AsyncElevenLabs(api_key=api_key, base_url=_http(base_url), httpx_client=http)
        try:
            found = await client.voices.search(search=voice, page_size=100, request_options={"max_retries": 0})
        except ApiError as error:
            raise http_fault(PROVIDER, error.status_code or 500, said(error.body), error.headers or {}) from error
        except httpx.HTTPError as error:
            raise ProviderUnavailable(PROVIDER, f"cannot look up the voice {voice}: {error}") from error
    for each in found.voices:
        if voice.casefold() in {(each.name or "").casefold(), (each.name or "").partition(" - ")[0].casefold()}:
            return str(each.voice_id)
    raise ProviderRefused(PROVIDER, f'the account has no voice "{voice}": give its id, or add it to the account')


def _http(base_url: str) -> str:
    """The same address for plain requests, when it was given for WebSockets."""
    return re.sub(r"^ws", "http", base_url.rstrip("/"))
