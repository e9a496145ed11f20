"""Time as the test says: a clock, a sleep on it, and threads that are none."""

import asyncio
import heapq
from collections.abc import Callable
from typing import Any


class VirtualTime:
    """Seconds since the epoch; they pass only in `pass_by`, which wakes the sleepers in order."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._slept += 1
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, self._slept, sleeper))
        await sleeper

    async def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            when, _, sleeper = heapq.heappop(self._sleepers)
            self.now = max(self.now, when)
            if not sleeper.done():
                sleeper.set_result(None)
            await self.settle()
        self.now = max(self.now, end)
        await self.settle()

    def stall(self, seconds: float) -> None:
        """The event loop does something else for so long: nobody is woken meanwhile."""
        self.now += seconds

    @staticmethod
    async def settle() -> None:
        """Let everything that can run without time passing run to its end."""
        for _ in range(25):
            await asyncio.sleep(0)


async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    """In place of a thread."""
    await asyncio.sleep(0)
    return function(*arguments)
