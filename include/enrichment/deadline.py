"""The time that a call may take, kept by one timer for all calls in flight.

`asyncio.timeout` sets and cancels a timer for every call, which is a tenth of what a fast call costs. Here every call
has the same time, so the first to start is the first to run out, and one timer for that one is enough.
"""

import asyncio
from types import TracebackType


class Deadlines:
    """`with deadlines.start():` raises `TimeoutError` in a task that is still in it after `seconds`.

    For one event loop; `close` once no call is left.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._running: dict[_Deadline, None] = {}  # in the order of their ends
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> "_Deadline":
        """The deadline of one call, which counts from here."""
        return _Deadline(self._running, self._end_from_now())

    def close(self) -> None:
        """Forget the timer, which would keep all this alive until it rings."""
        if self._timer:
            self._timer.cancel()

    def _end_from_now(self) -> float:
        end = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(end, self._ring)
        return end

    def _ring(self) -> None:
        now = self._loop.time()
        while self._running:
            first = next(iter(self._running))
            if first.end > now:
                self._timer = self._loop.call_at(first.end, self._ring)
                return
            del self._running[first]
            first.expire()
        self._timer = None


class _Deadline:
    __slots__ = ("_cancelling", "_expired", "_running", "_task", "end")

    def __init__(self, running: "dict[_Deadline, None]", end: float) -> None:
        self.end = end
        self._running = running
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a deadline is a task's"
        self._task = task
        self._cancelling = task.cancelling()
        self._running[self] = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._expired:
            del self._running[self]
        # A task that somebody else cancelled as well stays cancelled (as `asyncio.timeout` has it).
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel what the task waits for; leaving the `with` turns that into the `TimeoutError`."""
        self._expired = True
        self._task.cancel()
