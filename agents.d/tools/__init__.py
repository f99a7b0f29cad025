"""Python tools of the sample agents. Each call runs in a process of its own kind, apart from the calls' sound."""
