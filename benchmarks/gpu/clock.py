"""The minutes of a run, divided among its parts by a clock that nobody sets."""

import time
from collections.abc import Callable, Sequence

# The share of each part; the last part of a run gets all that is left.
SHARES = {"tests": 0.15, "speeds": 0.4, "figure": 0.45}
# Bundle, verdicts and picture take this share at the end, in seconds at least and at most.
END_SHARE, END_LEAST, END_MOST = 0.1, 15.0, 40.0


class Clock:
    """The end of a run and of its parts, as moments of the clock.

    parts: names of SHARES, in order. A part that ends early leaves its time to those after it.
    """

    def __init__(self, minutes: float, parts: Sequence[str], now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._parts = now, tuple(parts)
        self._begin = now()
        self.seconds = 60.0 * minutes
        self.end = self._begin + self.seconds
        self._ending = min(max(END_SHARE * self.seconds, END_LEAST), END_MOST, self.seconds / 2)

    def now(self) -> float:
        """Return the present moment."""
        return self._now()

    def left(self) -> float:
        """Return the seconds until the end, at least 0."""
        return max(0.0, self.end - self._now())

    def until(self, part: str) -> float:
        """Return the moment by which a part must have ended."""
        if part == self._parts[-1]:
            return self.end - self._ending
        before = self._parts[: self._parts.index(part) + 1]
        return self._begin + sum(SHARES[name] for name in before) * (self.seconds - self._ending)
