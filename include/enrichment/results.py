"""Settling a run: what the ledger says of every row, `errors.csv`, the frame for the transform, the manifest."""

from __future__ import annotations

import csv
import heapq
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from include.common.errors import PermanentError
from include.common.files import read_json, replacing, write_json
from include.common.storage import open_to_read
from include.common.text import one_line, shown
from include.enrichment.ledger import ChunkLedger, read_entry
from include.enrichment.models import OUTCOME, Counts, Pipeline, RowStatus, carried_outcome
from include.enrichment.records import Published
from include.enrichment.rows import RowToCall, read_kept, read_rejects, read_rows
from include.enrichment.run import Plan, RunFolder
from include.enrichment.transforms import ANSWER

if TYPE_CHECKING:
    import pandas

FIRST_ERRORS = 3
# What one frame of a transform holds at most, so that its memory does not grow with the run.
PART_ROWS = 5000
PART_BYTES = 4 * 1024 * 1024
# What `plan` says of a row that it skips, and in short.
SKIP_REASONS = {"the key `.*` is empty$": "empty key", "the key `.*` was seen in row [0-9]+$": "repeated key"}
NEVER_CALLED = "not called: the run ended before its turn"


@dataclass(frozen=True, slots=True)
class Settled:
    """A row at the end of the run: its values in column order, and how it ended after `attempts` calls.

    `callable` is whether another run may call it: not where it cannot be read, nor where `plan` skipped it. `size` is
    the answer's in bytes, 0 where answers were not asked for.
    """

    number: int
    values: list[str]
    status: RowStatus
    attempts: int
    error: str | None = None
    answer: Any = None
    size: int = 0
    callable: bool = True


@dataclass
class Effort:
    """What a run took over all its passes: calls that ended, those beyond a row's first, seconds that they waited."""

    calls: int = 0
    retries: int = 0
    waited: float = 0.0

    def add(self, ledger: ChunkLedger) -> None:
        """What the ledger of one more chunk says."""
        self.calls += ledger.calls
        self.retries += ledger.retries
        self.waited += ledger.waited


def settle(folder: RunFolder, plan: Plan, answers: bool = False, effort: Effort | None = None) -> Iterator[Settled]:
    """Every row of the run in the input's order, with its answer where `answers`; in constant memory.

    Calls with no good end count as failed. `effort` is told what the calls took.
    """
    parts = (_rejected(folder), _kept(folder, answers), _called(folder, plan, answers, effort or Effort()))
    return heapq.merge(*parts, key=lambda row: row.number)


def _rejected(folder: RunFolder) -> Iterator[Settled]:
    for row in read_rejects(folder):
        yield Settled(row.n, row.values, row.status, 0, row.error, callable=False)


def _kept(folder: RunFolder, answers: bool) -> Iterator[Settled]:
    for row in read_kept(folder):
        answer = (row.answer, row.size) if answers else (None, 0)
        yield Settled(row.n, row.values, RowStatus.OK, row.attempts, None, *answer)


def _called(folder: RunFolder, plan: Plan, answers: bool, effort: Effort) -> Iterator[Settled]:
    with open_to_read(folder.rows) as rows:
        for chunk in plan.chunks:
            ending = folder.ending(chunk.index)
            left = ending.left if ending else None
            with ChunkLedger(folder.segments, chunk) as ledger:
                effort.add(ledger)
                for row in read_rows(rows, chunk):
                    yield _ended(row, ledger, left, answers)


def _ended(row: RowToCall, ledger: ChunkLedger, left: str | None, answers: bool) -> Settled:
    number, values = row.n, row.values
    status = ledger.status(number)
    if status is None:
        ended = (RowStatus.SKIPPED, 0, left) if left else (RowStatus.FAILED, 0, NEVER_CALLED)
        return Settled(number, values, *ended)
    if status is RowStatus.OK and not answers:
        return Settled(number, values, status, ledger.attempts(number))
    line = ledger.line(number)
    entry = read_entry(line)
    assert entry is not None, "the ledger notes only what it could read"
    if status is RowStatus.OK:
        return Settled(number, values, status, entry.attempts, None, entry.answer, len(line))
    return Settled(number, values, RowStatus.FAILED, entry.attempts, entry.error)


@dataclass(frozen=True)
class Tally:
    """How the rows of a run ended, and the first errors of rows that failed.

    `callable` rows have no answer and can be called by a redrive; of these, `left` were not called, for the run was cut
    short. `skipped` has how many were for which reason. `calls`, `retries` and `waited` are an `Effort`'s.
    """

    counts: Counts
    first_errors: list[str]
    callable: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    left: int = 0
    calls: int = 0
    retries: int = 0
    waited: float = 0.0

    def is_part(self, plan: Plan) -> bool:
        """Whether what was answered is a part of what a whole run would have."""
        return bool(self.left) or plan.trial


def tally(folder: RunFolder, plan: Plan) -> Tally:
    """Count how the rows ended; writes `errors.csv` with every row that is not ok.

    The columns of `errors.csv` are the input's, then `status`, `attempts` and `error`.
    """
    ended = dict.fromkeys((RowStatus.OK, RowStatus.FAILED, RowStatus.SKIPPED), 0)
    first: list[str] = []
    callable_rows = left = 0
    skipped: Counter[str] = Counter()
    effort = Effort()
    columns = plan.source.columns
    key = columns.index(plan.key)
    # utf-8-sig: its mark makes spreadsheets read the file as UTF-8.
    with replacing(folder.errors) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", "backslashreplace", newline="")
        writer = csv.writer(text)
        # An errors.csv that is fed back has these columns already: they tell of this run now.
        carried = carried_outcome(columns)
        kept = [index for index, column in enumerate(columns) if column not in carried]
        writer.writerow([*(columns[index] for index in kept), *OUTCOME])
        for row in settle(folder, plan, effort=effort):
            ended[row.status] += 1
            if row.status is RowStatus.OK:
                continue
            callable_rows += row.callable
            if row.status is RowStatus.SKIPPED:
                left += row.callable
                skipped[skip_reason(row.error or "")] += 1
            values = [_visible(value) for value in (row.values + [""] * len(columns))[: len(columns)]]
            writer.writerow([*(values[index] for index in kept), row.status, row.attempts, row.error])
            if row.status is RowStatus.FAILED and row.error != NEVER_CALLED and len(first) < FIRST_ERRORS:
                first.append(one_line(f"row {row.number} ({shown(values[key])}): {row.error}"))
        text.flush()
        text.detach()
    counts = Counts(sum(ended.values()), ended[RowStatus.OK], ended[RowStatus.FAILED], ended[RowStatus.SKIPPED])
    found = Tally(
        counts,
        first,
        callable_rows,
        dict(skipped.most_common()),
        left,
        effort.calls,
        effort.retries,
        round(effort.waited, 3),
    )
    write_json(folder.tally, asdict(found))
    return found


def read_tally(folder: RunFolder) -> Tally | None:
    """What `tally` found, None where the run was not settled."""
    found = read_json(folder.tally)
    return None if found is None else Tally(**{**found, "counts": Counts(**found["counts"])})


def skip_reason(error: str) -> str:
    """Why a row was skipped, in words that rows share: without its line and its key."""
    for pattern, reason in SKIP_REASONS.items():
        if re.search(pattern, error, re.DOTALL):
            return reason
    return error.removeprefix("skipped: ")


def _visible(value: str) -> str:
    r"""A value with undecodable bytes and NULs shown as `\xFF`, so that the file itself can be read."""
    return re.sub("[\0\udc00-\udcff]", lambda match: f"\\x{ord(match.group()) & 0xFF:02X}", value)


def check_failures(found: Tally, max_failed_ratio: float) -> None:
    """Raise `PermanentError` where nothing was answered, or more rows failed than allowed."""
    counts = found.counts
    example = f"; first: {found.first_errors[0]}" if found.first_errors else ""
    if not counts.ok:
        raise PermanentError(f"no row was answered: {counts.failed} failed, {counts.skipped} skipped{example}")
    called = counts.ok + counts.failed
    if counts.failed / called > max_failed_ratio:
        limit = f"max_failed_ratio = {max_failed_ratio:g}"
        raise PermanentError(f"{counts.failed} of {called} rows failed, more than {limit} allows{example}")


def frames(folder: RunFolder, plan: Plan, whole: bool = False) -> Iterator[pandas.DataFrame]:
    """The frames that a transform gets: a row an ok row in input order, the input's columns, then `_answer`.

    Each holds at most `PART_ROWS` rows and about `PART_BYTES` of answers; where `whole`, one frame holds all.
    """
    rows: list[Settled] = []
    size = 0
    for row in settle(folder, plan, answers=True):
        if row.status is not RowStatus.OK:
            continue
        rows.append(row)
        size += row.size
        if not whole and (len(rows) == PART_ROWS or size >= PART_BYTES):
            yield _frame(rows, plan)
            rows, size = [], 0
    if rows:
        yield _frame(rows, plan)


def _frame(rows: list[Settled], plan: Plan) -> pandas.DataFrame:
    import pandas

    columns = plan.source.columns
    carried = carried_outcome(columns)
    data: dict[str, Any] = {
        column: pandas.Series([row.values[index] for row in rows], dtype=object)
        for index, column in enumerate(columns)
        if column not in carried
    }
    data[ANSWER] = pandas.Series([row.answer for row in rows], dtype=object)
    return pandas.DataFrame(data)


@dataclass(frozen=True)
class Manifest:
    """What a run did, for machines and audits: written once a run, beside its files.

    `files` were published, of which `outputs` holds the first; all of them stand in `outputs.jsonl`. `partial`: they
    are a part, written `in_place` of the output or beside the last whole one.
    """

    run: str
    state: str
    seconds: float
    tally: Tally
    plan: Plan
    files: int
    outputs: list[Published]
    pipeline: Pipeline
    versions: dict[str, str]
    error: str | None = None
    partial: bool = False
    in_place: bool = True

    def write(self, folder: RunFolder) -> None:
        """As `manifest.json` of the run's folder."""
        write_json(folder.manifest, asdict(self))


def read_manifest(folder: RunFolder) -> dict[str, Any] | None:
    """What `Manifest.write` wrote, None where the run has not come that far."""
    return read_json(folder.manifest)
