"""What a worker remembers of a provider that failed: for a while, requests begin with the next candidate.

Else each turn of each call would try a dead provider first, and its caller would wait for it.
"""

from __future__ import annotations

from agentd.errors import ProviderError

ASIDE_S = 30.0
"""Where the provider does not say itself when to come back (fault table, F12)."""

LONGEST_ASIDE_S = 600.0
"""Whatever it says."""

TRIAL_S = 10.0
"""For one request that tries it again, before another one may: as long as an attempt may take."""

REFUSALS = 3
"""In a row: one may be about what was asked, which is no other call's fault."""


class Standing:
    """One a provider and worker, shared by its calls. Pure: time is an argument."""

    def __init__(self) -> None:
        self._aside_until_s: float | None = None
        self._refusals = 0
        self.why = ""  # it is aside

    def is_well(self, now_s: float) -> bool:
        return self._aside_until_s is None or now_s >= self._aside_until_s

    def permits(self, now_s: float) -> bool:
        """Whether a request may begin with it. When its time is over, True for one, and for more once that one has
        succeeded."""
        if self._aside_until_s is None:
            return True
        if now_s < self._aside_until_s:
            return False
        self._aside_until_s = now_s + TRIAL_S
        return True

    def back_at_s(self, now_s: float) -> float:
        return now_s if self._aside_until_s is None else self._aside_until_s

    def succeeded(self) -> bool:
        """Answers whether it had been aside."""
        was_aside = self._aside_until_s is not None
        self._aside_until_s, self._refusals, self.why = None, 0, ""
        return was_aside

    def failed(self, error: ProviderError, now_s: float, *, at_once: bool) -> float:
        """For how many seconds it is aside from now on; 0: it is not, or was already. `at_once`: also when this is the
        first refusal."""
        was_aside = self._aside_until_s is not None
        if not error.retryable:
            self._refusals += 1
            if not at_once and self._refusals < REFUSALS:
                return 0.0
        for_s = min(LONGEST_ASIDE_S, error.retry_after_s if error.retry_after_s is not None else ASIDE_S)
        self._aside_until_s, self.why = now_s + for_s, error.message
        return 0.0 if was_aside else for_s
