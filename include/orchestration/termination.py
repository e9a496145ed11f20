"""A task that is told to end (SIGTERM) finishes what is under way: Airflow only tells it, and kills it much later."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def termination() -> Iterator[Callable[[], bool]]:
    """Whether the process was told to end since the block began; Airflow's own handler is back after it."""
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        yield lambda: bool(told)
    finally:
        signal.signal(signal.SIGTERM, before)
