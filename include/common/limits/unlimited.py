"""A pace without a rate: nothing is asked of the database but whether the API wants a pause."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from include.common.limits.rate_limit import RateLimiter

# Seconds between two looks at whether another process was asked for a pause.
LOOK_EVERY = 0.25


class Unlimited:
    """A `Pace` without a rate: a call starts at once, unless the API has asked for a pause.

    With a `limiter`, the pause of any process on `key` counts; it is looked at once in `LOOK_EVERY` seconds.
    """

    def __init__(
        self,
        limiter: RateLimiter | None = None,
        key: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self._limiter, self._key = limiter, key
        self._clock, self._sleep, self._thread = clock, sleep, thread
        self._look_at = self._paused_until = float("-inf")
        self._held = 0  # workers in a pause
        self.waited = 0.0  # seconds, all calls together

    async def start(self) -> None:
        """At once, or at the end of the pause. Raises `TransientError` where the database does not answer."""
        while True:
            now = self._clock()
            if self._limiter and now >= self._look_at:
                self._look_at = now + LOOK_EVERY
                self._hold(await self._thread(self._limiter.pause, self._key))
            if (left := self._paused_until - now) <= 0:
                return
            self._held += 1
            began = self._clock()
            try:
                await self._sleep(left)
            finally:
                self._held -= 1
                self.waited += self._clock() - began

    async def defer(self, seconds: float) -> None:
        """No call starts for `seconds`."""
        self._hold(seconds)
        if self._limiter:
            await self._thread(self._limiter.defer, self._key, seconds)

    async def close(self) -> None:
        """Nothing is held."""

    def _hold(self, seconds: float) -> None:
        if seconds > 0:
            self._paused_until = max(self._paused_until, self._clock() + seconds)

    @property
    def waiting(self) -> float:
        """Seconds until the next start of this process; 0 when none waits."""
        return max(0.0, self._paused_until - self._clock()) if self._held else 0.0
