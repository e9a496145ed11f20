"""A task that is told to end finishes what is under way: Airflow only tells it, and kills it much later."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# The variable that names a file: once it is there, this task's worker stops. A signal would not do, for it would end
# those tasks that do not expect it, and reach none that is about to begin.
STOPPING = "HEADRACE_STOPPING"


@contextmanager
def termination() -> Iterator[Callable[[], bool]]:
    """Whether the process was told to end since the block began (SIGTERM), or its worker stops.

    Airflow's own handler is back after the block.
    """
    told: list[int] = []
    stopping = os.environ.get(STOPPING)
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        yield lambda: bool(told) or (stopping is not None and Path(stopping).exists())
    finally:
        signal.signal(signal.SIGTERM, before)
