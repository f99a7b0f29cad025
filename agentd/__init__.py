"""agentd: a daemon that turns YAML files into voice agents in LiveKit rooms."""

__version__ = "0.1.0"
