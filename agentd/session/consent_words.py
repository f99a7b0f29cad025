"""What the model is told about calls that somebody must agree to first."""

from __future__ import annotations

ASKED = (
    "Not called yet. These arguments are being read back to the caller, and a yes or no of theirs is waited for. Say "
    "nothing about it: it is done for you, and after a yes the call is made for you. If the caller wants something "
    "else, call the tool again with the new arguments."
)
OPERATOR_ASKED = (
    "Not called yet: a member of staff is asked to approve it. Tell the caller that it is being checked. The call is "
    "made for you when it is approved; do not make it again."
)
WAITING = "Not called yet: exactly this is being asked already. Wait for the answer."
BUSY = "Not called: {tool} is being confirmed. One call at a time can be; make this one again afterwards."
TOO_LONG = "Not called: these arguments are too long to be read back to the caller, who must agree to them."
OTHER_VOICE = (
    "Somebody other than the caller has spoken. What they say is no consent, and nothing that needs consent is called "
    "for them: only the caller can ask for it and agree to it."
)
CONFIRMED = (
    "The caller's consent to {tool} was given, and the call was made; its result stands above. Say what came of it."
)
DENIED = "Consent to {tool} was refused: it was not called. Do not call it again unless the caller asks for it anew."
UNANSWERED = (
    "The question whether to call {tool} has no answer yet, and is put again after you have spoken: do not put it "
    "yourself, and do not say that it was done. Answer briefly what the caller has said. If they want something else "
    "than was asked, call the tool with the new arguments."
)
GIVEN_UP = (
    "The caller has twice answered neither yes nor no to whether {tool} is to be called, so it was not. Ask them what "
    "they would like."
)
EXPIRED = "Nobody has approved {tool} in time: it was not called. Tell the caller."
