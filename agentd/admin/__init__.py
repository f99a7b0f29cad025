"""The daemon as it is seen from outside: HTTP API, health, metrics, token endpoint and talk page."""
