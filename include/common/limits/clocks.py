"""The database's clock as a process sees it, so that the clocks of several machines need not agree."""

from include.common.limits.rate_limit import Seen

# Seconds a second by which two clocks may drift apart: the most that NTP slews one.
DRIFT = 0.0005


class DatabaseClock:
    """The database's clock as seen from ours, between two bounds that every answer may narrow.

    A start is not taken before the one bound reaches it, and is late once the other passes it by the slack: so the
    distance of two starts holds whichever process and machine they are in.
    """

    def __init__(self, slack: float) -> None:
        self._slack = slack
        self._low = self._high = 0.0  # the database's time less ours is between these
        self._late_from = 0.0
        self._noted_at: float | None = None

    def note(self, seen: Seen) -> None:
        """Take in an answer of the database."""
        low, high = seen.now - seen.came, seen.now - seen.sent
        if self._noted_at is not None:
            drift = DRIFT * max(0.0, seen.came - self._noted_at)
            both = max(low, self._low - drift), min(high, self._high + drift)
            if both[0] <= both[1]:  # else a clock was set
                low, high = both
        self._low, self._high, self._noted_at = low, high, seen.came
        # A database that takes longer to answer than half the slack loosens the limit by what it takes longer:
        # otherwise every start would be late before it is known.
        self._late_from = min(high, low + self._slack / 2) - self._slack

    def earliest(self, now: float) -> float:
        """The database's time is at least this at our `now`."""
        return now + self._low

    def late(self, start: float, now: float) -> bool:
        """Whether `start` may be past by the slack at our `now`."""
        return now + self._late_from >= start
