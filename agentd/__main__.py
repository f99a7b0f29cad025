"""`python -m agentd`."""

from agentd.cli.main import main

main()
