"""What the model can call: Python callables in processes of their own, webhooks, and agentd's builtins.

Tools and hooks written in Python import `RunContext`, `JobContext`, `Event`, `TurnChange` and `ChatContext` from here.
Importing this package must stay cheap, because every tool process does it: nothing but these values is imported.
"""

from agentd.providers.chat import ChatContext
from agentd.tools.context import RunContext
from agentd.tools.event import Event, TurnChange
from agentd.tools.job_context import JobContext, JobError, StopResponse

__all__ = ["ChatContext", "Event", "JobContext", "JobError", "RunContext", "StopResponse", "TurnChange"]
