"""The parts of Deepgram's SDK that agentd uses, imported without its noise."""

import warnings

with warnings.catch_warnings():
    # For the sake of a type annotation the SDK imports websockets.legacy, which warns that it is deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from deepgram.listen.v1.socket_client import AsyncV1SocketClient as ListenSocket
    from deepgram.speak.v1.socket_client import AsyncV1SocketClient as SpeakSocket
from deepgram.listen.v1.types.listen_v1error import ListenV1Error
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from deepgram.listen.v1.types.listen_v1utterance_end import ListenV1UtteranceEnd
from deepgram.speak.v1.types.speak_v1text import SpeakV1Text

__all__ = [
    "ListenSocket",
    "ListenV1Error",
    "ListenV1Results",
    "ListenV1UtteranceEnd",
    "SpeakSocket",
    "SpeakV1Text",
]
