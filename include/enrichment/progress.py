"""How far the calls of a chunk are, for people: one line of the log, and the same for pages to read."""

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from include.common.durations import say_duration

# The key of the task's state that holds its progress.
KEPT_AS = "progress"
# Samples that the pace is taken from: with one every 5 s, the last minute.
SAMPLES = 12


@dataclass(frozen=True)
class Progress:
    """Of `total` rows `done` have ended, `failed` of them for good; `retry` wait for the task's next try.

    `per_second` is the pace of the last minute, `waiting` the seconds until the rate limit allows the next call, `eta`
    the seconds that the rest takes at this pace, None where nothing has ended yet. `outage`: the API does not
    answer, and is waited for.
    """

    done: int
    total: int
    failed: int
    retry: int
    per_second: float
    waiting: float
    eta: float | None
    outage: bool = False

    def line(self) -> str:
        """`1200/2000 rows, 49.8 a second, 3 failed, 2 to retry, waiting 24 s for the limit, 16 s left`."""
        parts = [f"{self.done}/{self.total} rows", f"{self.per_second:.3g} a second"]
        parts += [f"{self.failed} failed"] * bool(self.failed)
        parts += [f"{self.retry} to retry"] * bool(self.retry)
        parts += [f"waiting {say_duration(self.waiting)} for the limit"] * (self.waiting >= 1)
        parts += ["waiting for the API to come back"] * self.outage
        parts += [f"{say_duration(self.eta)} left"] if self.eta is not None and self.done < self.total else []
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Meter:
    """Makes `Progress` of counts as they grow. `now` is in seconds of any clock."""

    def __init__(self, total: int, done: int, now: float) -> None:
        self._total = total
        self._samples: deque[tuple[float, int]] = deque([(now, done)], maxlen=SAMPLES)

    def read(self, done: int, failed: int, retry: int, waiting: float, now: float, outage: bool = False) -> Progress:
        """The progress now."""
        since, before = self._samples[0]
        self._samples.append((now, done))
        pace = (done - before) / (now - since) if now > since else 0.0
        left = self._total - done - retry
        return Progress(
            done=done,
            total=self._total,
            failed=failed,
            retry=retry,
            per_second=round(pace, 3),
            waiting=round(waiting, 1),
            eta=round(left / pace, 1) if pace else None,
            outage=outage,
        )
