"""A limit on how often each of many callers may ask."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Brake:
    """Lets each caller ask `burst` times at once, and again `per_second` times a second; most: callers remembered.

    A caller that is forgotten, since many others came after it, begins anew.
    """

    burst: float
    per_second: float
    most: int = 4096
    clock: Callable[[], float] = time.monotonic
    # What each caller had left, and when.
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, caller: str) -> float:
        """Count a request and return 0, or return after how many seconds the caller may ask again."""
        with self._lock:
            now = self.clock()
            left, at = self._left.pop(caller, (self.burst, now))
            left = min(self.burst, left + (now - at) * self.per_second)
            waits = max(0.0, (1.0 - left) / self.per_second)
            self._left[caller] = (left if waits else left - 1.0, now)
            if len(self._left) > self.most:
                self._left.popitem(last=False)
            return waits
