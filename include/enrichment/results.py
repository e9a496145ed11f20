"""Settling a run: what the ledger says of every row, `errors.csv`, the frame for the transform, the manifest."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.common.errors import PermanentError
from include.common.files import replacing
from include.enrichment.ledger import Entry, read_segment
from include.enrichment.models import OUTCOME, Counts, Pipeline, RowStatus, carried_outcome
from include.enrichment.records import sha256
from include.enrichment.run import Plan, RunFolder, write_json
from include.enrichment.transforms import ANSWER

if TYPE_CHECKING:
    import pandas

FIRST_ERRORS = 3
NEVER_CALLED = "not called: the run ended before its turn"


@dataclass(frozen=True)
class Settled:
    """A row at the end of the run: its values in column order, and how it ended."""

    number: int
    values: list[str]
    entry: Entry


def ledger(folder: RunFolder) -> dict[int, Entry]:
    """How every row that was called stands, answers included; the newest entry of a row counts."""
    return {entry.n: entry for path in sorted(folder.segments.glob("*.jsonl")) for entry in read_segment(path)}


def settle(folder: RunFolder) -> Iterator[Settled]:
    """Every row of the input in order: `plan`'s rejects and the called ones. Calls with no good end count as failed."""
    entries = ledger(folder)
    rejects = _lines(folder.rejects)
    reject = next(rejects, None)
    for row in _lines(folder.rows):
        while reject and reject["n"] < row["n"]:
            yield _rejected(reject)
            reject = next(rejects, None)
        entry = entries.get(row["n"]) or Entry(row["n"], RowStatus.FAILED, 0, NEVER_CALLED)
        if entry.status is RowStatus.RETRY:
            entry = Entry(entry.n, RowStatus.FAILED, entry.attempts, entry.error)
        yield Settled(row["n"], row["v"], entry)
    while reject:
        yield _rejected(reject)
        reject = next(rejects, None)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as stream:
        for line in stream:
            yield json.loads(line)


def _rejected(reject: dict[str, Any]) -> Settled:
    return Settled(reject["n"], reject["v"], Entry(reject["n"], RowStatus(reject["status"]), 0, reject["error"]))


@dataclass(frozen=True)
class Tally:
    """How the rows of a run ended, and the first errors of rows that failed."""

    counts: Counts
    first_errors: list[str]


def tally(folder: RunFolder, plan: Plan) -> Tally:
    """Count how the rows ended; writes `errors.csv` with every row that is not ok.

    The columns of `errors.csv` are the input's, then `status`, `attempts` and `error`.
    """
    ended = dict.fromkeys((RowStatus.OK, RowStatus.FAILED, RowStatus.SKIPPED), 0)
    first: list[str] = []
    key = plan.columns.index(plan.key)
    # utf-8-sig: its mark makes spreadsheets read the file as UTF-8.
    with replacing(folder.errors) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", "backslashreplace", newline="")
        writer = csv.writer(text)
        # An errors.csv that is fed back has these columns already: they tell of this run now.
        carried = carried_outcome(plan.columns)
        kept = [index for index, column in enumerate(plan.columns) if column not in carried]
        writer.writerow([*(plan.columns[index] for index in kept), *OUTCOME])
        for row in settle(folder):
            ended[row.entry.status] += 1
            if row.entry.status is RowStatus.OK:
                continue
            values = [_visible(value) for value in (row.values + [""] * len(plan.columns))[: len(plan.columns)]]
            ending = (row.entry.status, row.entry.attempts, row.entry.error)
            writer.writerow([*(values[index] for index in kept), *ending])
            told = row.entry.error != NEVER_CALLED
            if row.entry.status is RowStatus.FAILED and told and len(first) < FIRST_ERRORS:
                first.append(f"row {row.number} ({values[key]}): {row.entry.error}")
        text.flush()
        text.detach()
    counts = Counts(sum(ended.values()), ended[RowStatus.OK], ended[RowStatus.FAILED], ended[RowStatus.SKIPPED])
    found = Tally(counts, first)
    write_json(folder.tally, asdict(found))
    return found


def read_tally(folder: RunFolder) -> Tally | None:
    """What `tally` found, None where the run was not settled."""
    try:
        found = json.loads(folder.tally.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return Tally(Counts(**found["counts"]), found["first_errors"])


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


def frame(folder: RunFolder, plan: Plan) -> pandas.DataFrame:
    """The frame that a transform gets: a row an ok row in input order, the input's columns, then `_answer`."""
    import pandas

    carried = carried_outcome(plan.columns)
    rows = [row for row in settle(folder) if row.entry.status is RowStatus.OK]
    data: dict[str, Any] = {
        column: pandas.Series([row.values[index] for row in rows], dtype=object)
        for index, column in enumerate(plan.columns)
        if column not in carried
    }
    data[ANSWER] = pandas.Series([row.entry.answer for row in rows], dtype=object)
    return pandas.DataFrame(data)


@dataclass(frozen=True)
class Manifest:
    """What a run did, for machines and audits: written once a run, beside its files."""

    run: str
    state: str
    seconds: float
    tally: Tally
    plan: Plan
    outputs: list[dict[str, Any]]
    pipeline: Pipeline
    versions: dict[str, str]
    error: str | None = None

    def write(self, folder: RunFolder) -> None:
        """As `manifest.json` of the run's folder."""
        write_json(folder.manifest, asdict(self))


def read_manifest(folder: RunFolder) -> dict[str, Any] | None:
    """What `Manifest.write` wrote, None where the run has not come that far."""
    try:
        return dict(json.loads(folder.manifest.read_text("utf-8")))
    except FileNotFoundError:
        return None


def described(outputs: Sequence[Path]) -> list[dict[str, Any]]:
    """Path, size in bytes and SHA-256 of the files that a run published."""
    return [{"path": str(path), "bytes": path.stat().st_size, "sha256": sha256(path)} for path in outputs]
