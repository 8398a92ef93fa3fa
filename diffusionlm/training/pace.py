"""Pace of a run, from one report to the next."""

from __future__ import annotations


class Pace:
    """Speeds since the last report.

    Args:
        tokens: seen so far.
        step: of now.
        seconds: spent in steps so far.
    """

    def __init__(self, tokens: int, step: int, seconds: float) -> None:
        self._last = tokens, step, seconds

    def figures(self, tokens: int, step: int, seconds: float) -> dict[str, float]:
        """Step, tokens, and both in a second since the last report; the arguments are those of the class, now."""
        before, self._last = self._last, (tokens, step, seconds)
        elapsed = max(seconds - before[2], 1e-9)
        return {
            "step": step,
            "tokens": tokens,
            "tokens_per_second": (tokens - before[0]) / elapsed,
            "steps_per_second": (step - before[1]) / elapsed,
        }
