"""The circuit breaker of one try: a server that is down is not hammered, and no row loses a try that did not call it.

After so many failures in a row it opens: no call is made but one after each pause, until one is answered. The rows that
failed meanwhile are put back among those due. Rows that failed while others were answered are not taken for the sign of
an outage, nor are those that failed before: there are rows that always fail. A server that cannot be reached at all
fails no row for itself: where it has answered before, and no row is left to ask, one such failure is enough.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from include.enrichment.models import RowStatus
from include.enrichment.rows import RowToCall

# Failures in a row that open it; so many are enough where no row is left to tell a bad row from a server that is down.
FAILURES_IN_A_ROW, FAILURES_AT_THE_END = 20, 5
# Seconds that an API is waited for that has answered before, and one that never has: its address may be wrong.
LONGEST_OUTAGE, LONGEST_SILENCE = 300.0, 30.0
# Seconds before the first call that asks whether it is back; each further pause is twice as long, up to the second.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
# Rows that are put back, each held in memory; more of them are left to the next try.
MOST_PUT_BACK = 10_000


class Standing(Protocol):
    """How the rows stand after earlier tries; `ChunkLedger` is the real one."""

    def status(self, n: int) -> RowStatus | None: ...

    def attempts(self, n: int) -> int: ...

    def count(self, status: RowStatus) -> int: ...


class Due:
    """The rows of one try in the order of their calls: those never called, those that failed before, those put back.

    `rows` reads the chunk's rows from the first. `again` has the attempts of the rows that were put back for a failure.
    """

    def __init__(self, rows: Callable[[], Iterable[RowToCall]], standing: Standing) -> None:
        self._standing = standing
        self._ahead = self._not_ended(rows)
        self._back: deque[RowToCall] = deque()
        self.again: dict[int, int] = {}

    def take(self) -> RowToCall | None:
        """The next row to call, None where there is none."""
        return next(self._ahead, None) or (self._back.popleft() if self._back else None)

    def take_to_probe(self, number: int) -> RowToCall | None:
        """The row of an outage's probe, from 0: one that was put back, then one that was not, and so on.

        A bad row must not stand for the server for ever.
        """
        return self._back.popleft() if number % 2 == 0 and self._back else self.take()

    def put_back(self, row: RowToCall) -> None:
        """The row was not called after all."""
        self._back.append(row)

    def put_back_failed(self, row: RowToCall, attempts: int) -> None:
        """The row failed after so many attempts, and is called again in this try."""
        if row.n in self.again:  # it is called first, so that one that fails a few times is soon answered
            self._back.appendleft(row)
        elif len(self._back) < MOST_PUT_BACK:
            self._back.append(row)
        else:
            return
        self.again[row.n] = attempts

    def failed_before(self, row: RowToCall) -> bool:
        """Whether the row has failed, in this try or an earlier one."""
        return row.n in self.again or self._standing.status(row.n) is not None

    def _not_ended(self, rows: Callable[[], Iterable[RowToCall]]) -> Iterator[RowToCall]:
        status = self._standing.status
        yield from (row for row in rows() if status(row.n) is None)
        if self._standing.count(RowStatus.RETRY):
            yield from (row for row in rows() if status(row.n) is RowStatus.RETRY)


class Breaker:
    """Open or closed, by what becomes of the calls; puts rows back into `due`."""

    def __init__(self, due: Due) -> None:
        self.open = False
        self.answers = 0  # calls that the server has answered
        self.unreachable = False  # since the last answer, at some call
        self._probing = False
        self._due = due
        self._failed: list[tuple[RowToCall, int]] = []  # since the last answer
        self._in_a_row = 0  # of these, calls that began after it

    def answered(self) -> None:
        """A call was answered, if only with an error of its row: the server is there."""
        self.answers += 1
        self._probing = self.unreachable = False
        if self._failed:
            self._failed.clear()
            self._in_a_row = 0

    def failed(self, row: RowToCall, attempts: int, answers_before: int, unreachable: bool = False) -> None:
        """A call that began after `answers_before` failed in a way that may pass."""
        self.unreachable |= unreachable
        if self.open or self._probing:
            self.open = True
            self._due.put_back_failed(row, attempts)
        elif unreachable or not self._due.failed_before(row):
            self._failed.append((row, attempts))
            self._in_a_row += self.answers == answers_before
            if self._in_a_row >= FAILURES_IN_A_ROW:
                self._trip()

    def no_row_is_left(self, gone: bool) -> None:
        """Nothing else is due that could show whether the server is there; `gone`: one that was is not reached."""
        if gone or self._in_a_row >= FAILURES_AT_THE_END:
            self._trip()

    def probe(self) -> None:
        """One call is made: where it is answered the breaker is closed, where it fails open again."""
        self.open, self._probing = False, True

    def _trip(self) -> None:
        self.open = True
        for row, attempts in self._failed:
            self._due.put_back_failed(row, attempts)
        self._failed.clear()
        self._in_a_row = 0
