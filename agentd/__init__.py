"""agentd: a daemon that turns YAML files into voice agents in LiveKit rooms."""

import sys

__version__ = "0.1.0"

if sys.version_info < (3, 11, 4):  # Debian 12 has 3.11.2
    from agentd.timeouts import mend_timeouts

    mend_timeouts()
