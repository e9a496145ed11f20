"""How the demo API can be told to misbehave."""

from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("status", "soft", "garbage", "slow", "drop", "huge", "redirect")


@dataclass
class Fault:
    """One misbehaviour for some calls.

    `fault`: `status` answers `status`, with `Retry-After: <retry_after>` if given; `soft` is 200 with an object
    `{"Information": …}`; `garbage` is 200 with a body that is no JSON; `slow` sends the body over `seconds`; `drop`
    closes the connection; `huge` sends `megabytes`; `redirect` leads to `location`. `keys` are the rows' keys it
    hits (None: all), `times` how many calls of each key (None: all).
    """

    fault: str
    keys: list[str] | None = None
    times: int | None = None
    status: int = 500
    retry_after: float | None = None
    seconds: float = 60.0
    megabytes: int = 100
    location: str = ""
    hits: Counter[str] = field(default_factory=Counter, repr=False)

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"fault is `{self.fault}`; allowed is one of {', '.join(FAULTS)}")

    def applies(self, key: str) -> bool:
        """Whether this call is hit; counts it if so."""
        if self.keys is not None and key not in self.keys:
            return False
        if self.times is not None and self.hits[key] >= self.times:
            return False
        self.hits[key] += 1
        return True


@dataclass
class Quota:
    """At most `calls` in any `seconds`, as a strict server counts: the rest gets 429 with `Retry-After`."""

    calls: int
    seconds: float
    _starts: deque[float] = field(default_factory=deque, repr=False)

    def wait(self, now: float) -> float:
        """Counts a call at `now`; seconds to wait where it is one too many, else 0."""
        while self._starts and self._starts[0] <= now - self.seconds:
            self._starts.popleft()
        if len(self._starts) >= self.calls:
            return self._starts[0] + self.seconds - now
        self._starts.append(now)
        return 0.0


@dataclass
class Stats:
    """What the server saw since its start or the last reset; a dropped connection counts as status 0."""

    calls: int = 0
    answered: int = 0
    in_flight: int = 0
    peak: int = 0
    by_key: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    starts: "array[float]" = field(default_factory=lambda: array("d"), repr=False)

    def as_dict(self, keys: bool = True, starts: bool = False) -> dict[str, Any]:
        """For JSON; `peak` is the highest number of calls in flight, `answered` counts good answers.

        `by_key` and `starts`, when each call came in (seconds, monotonic), grow with the input: they can be left out.
        """
        found = {
            "calls": self.calls,
            "answered": self.answered,
            "in_flight": self.in_flight,
            "peak": self.peak,
            "statuses": {str(status): count for status, count in self.statuses.items()},
        }
        found |= {"by_key": dict(self.by_key)} if keys else {}
        return found | ({"starts": list(self.starts)} if starts else {})
