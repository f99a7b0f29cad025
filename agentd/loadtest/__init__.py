"""Callers who speak and listen, a daemon of one's own for them, and what is measured: of `agentd bench`, the benchmarks
and the system tests. No daemon imports it."""
