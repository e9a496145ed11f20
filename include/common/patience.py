"""Waiting for a database that is away, in place of failing: a restart, a failover, a frozen host."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import tenacity

from include.common.errors import TransientError

log = logging.getLogger(__name__)
# Seconds between two tries, and how many there are: 15 minutes at least, which is longer than a restart or a failover
# takes. Past this a person had better know.
EVERY, TRIES = 2.0, 450
# Seconds without an answer that are worth a line in the log; and tries from one line to the next.
UNANSWERED, TRIES_A_LINE = 5.0, 15


class Patience:
    """Runs functions in a thread, in place of `asyncio.to_thread`: again and again where they raise `TransientError`.

    What it waits for stands in the log. Raises the last error after 15 minutes, and at once after `give_up`.
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self._thread = thread
        self._given_up = False
        self._retrying = tenacity.AsyncRetrying(sleep=sleep, stop=self._stop, **_POLICY)

    def give_up(self) -> None:
        """Wait for nothing from now on: what is left to be done is not worth it."""
        self._given_up = True

    async def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function` returns."""
        return await self._retrying(self._ask, function, *arguments)

    async def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        late = asyncio.get_running_loop().call_later(UNANSWERED, log.warning, "the database does not answer: waiting")
        try:
            return await self._thread(function, *arguments)
        finally:
            late.cancel()

    def _stop(self, state: tenacity.RetryCallState) -> bool:
        return self._given_up or state.attempt_number >= TRIES


def patiently(function: Callable[..., Any], *arguments: Any, sleep: Callable[[float], Any] = tenacity.nap.sleep) -> Any:
    """What `function` returns, as `Patience` has it, for code without an event loop."""
    return tenacity.Retrying(sleep=sleep, stop=tenacity.stop_after_attempt(TRIES), **_POLICY)(function, *arguments)


def _say(state: tenacity.RetryCallState) -> None:
    if state.attempt_number % TRIES_A_LINE == 1 and state.outcome:
        log.warning("waiting: %s", state.outcome.exception())


_POLICY: dict[str, Any] = {
    "retry": tenacity.retry_if_exception_type(TransientError),
    "wait": tenacity.wait_fixed(EVERY),
    "before_sleep": _say,
    "reraise": True,
}
