"""A tool for the bad configurations to miss."""


def book(name: str) -> str:
    """Books a table."""
    return name
