"""Which rows of a CSV are called, and why the others are not: for a run and for the preview of one."""

from dataclasses import dataclass

from include.common.errors import BadInputError
from include.common.text import shown
from include.enrichment.keys import SeenKeys
from include.enrichment.models import RowStatus, carried_outcome
from include.enrichment.reader import Row
from include.enrichment.transforms import ANSWER


def check_columns(columns: tuple[str, ...], name: str) -> None:
    """Raise `BadInputError` for a column that no file may have."""
    if ANSWER in columns:
        raise BadInputError(f"`{name}` has a column `{ANSWER}`, a name kept for the answers; rename it")


def no_rows(name: str) -> BadInputError:
    """The error of a file without a row."""
    return BadInputError(f"`{name}` has a header and no rows; expected at least one")


@dataclass(frozen=True)
class Refusal:
    """A row that is not called: one that cannot be read has failed, another is skipped."""

    status: RowStatus
    reason: str


class Sorter:
    """Takes the rows of a file, each once and in order. Without a `key` none is refused for it."""

    def __init__(self, columns: tuple[str, ...], key: str | None, seen: SeenKeys, trim_keys: bool = False) -> None:
        self._key = key
        self._position = columns.index(key) if key is not None else None
        self._seen = seen
        self._trim_keys = trim_keys
        self._outcome = [columns.index(name) for name in carried_outcome(columns)]

    def sort(self, row: Row) -> str | Refusal:
        """The key that the row is called with ("" where none is asked for), else why it is not."""
        if unread := row.error or self._unread_before(row.values):
            return Refusal(RowStatus.FAILED, unread)
        if self._position is None:
            return ""
        key = row.values[self._position]
        if self._trim_keys:
            key = key.strip()
        if not key.strip():
            return Refusal(RowStatus.SKIPPED, f"the key `{self._key}` is empty")
        if (first := self._seen.note(key, row.number)) is not None:
            return Refusal(RowStatus.SKIPPED, f"the key `{shown(key)}` was seen in row {first}")
        return key

    def _unread_before(self, values: tuple[str, ...]) -> str | None:
        """The error of a row of an `errors.csv` that could not be read in its own file: here it only looks whole."""
        if not self._outcome:
            return None
        status, attempts, error = (values[index] for index in self._outcome)
        unread = status == RowStatus.FAILED and attempts == "0" and error.startswith("line ")
        return f"not readable before either ({error})" if unread else None
