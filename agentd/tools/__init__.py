"""What the model can call: Python callables in processes of their own, webhooks, and agentd's builtins.

Tools written in Python import `RunContext` from here. Importing this package must stay cheap, because every
tool process does it: nothing but the context is imported.
"""

from agentd.tools.context import RunContext

__all__ = ["RunContext"]
