"""What each run came to, kept in the application database beyond its folder; and totals over all runs.

A run may be told several times, for a person may clear its tasks: its row is what it was told last. A total never
falls. Each telling counts as a run that ended, with its time; of rows, calls and waits it adds what the run has more
than when it was told before. So a row counts once as how it ended, and again where it came to another end; a call
counts once. A run whose `plan` is done again has a new folder, in which all of them begin anew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import cast

import sqlalchemy
from sqlalchemy.dialects import postgresql, sqlite

from include.common.database import answering, transaction
from include.common.limits.models import stored
from include.enrichment.models import Counts
from include.enrichment.report import Report
from include.enrichment.tables import CsvRun, CsvTotal

_runs = cast(sqlalchemy.Table, CsvRun.__table__)
_totals = cast(sqlalchemy.Table, CsvTotal.__table__)
# What a run adds to the totals as far as it was not told before.
GROWING = ("ok", "failed", "skipped", "calls", "retries", "waited")
SUMMED = ("runs", "seconds", *GROWING)


@dataclass(frozen=True)
class RunCounts:
    """A run as it was told last: how its rows ended, and over all its passes the calls, of which `retries` were beyond
    a row's first, and the seconds that calls waited for the rate limit. `seconds` is how long its last pass took.

    Rows that a redrive took over from an earlier run are in `ok`, and no calls. A dry run has no rows. `began` is when
    the run's folder was made, in seconds since the epoch.
    """

    dag_id: str
    run_id: str
    state: str
    rows: int
    ok: int
    failed: int
    skipped: int
    calls: int
    retries: int
    waited: float
    seconds: float
    files: int
    partial: bool
    began: float
    ended_at: datetime


@dataclass(frozen=True)
class Totals:
    """What all runs of a DAG that ended in `state` came to; `last_ended_at` is in seconds since the epoch."""

    dag_id: str
    state: str
    runs: int = 0
    seconds: float = 0.0
    ok: int = 0
    failed: int = 0
    skipped: int = 0
    calls: int = 0
    retries: int = 0
    waited: float = 0.0
    last_seconds: float = 0.0
    last_ended_at: float = 0.0


def counts_of(report: Report, ended_at: datetime) -> RunCounts:
    """The counts of a run that is being told."""
    counts = report.counts or Counts(0, 0, 0, 0)
    return RunCounts(
        dag_id=report.pipeline,
        run_id=report.run_id,
        state=report.state,
        **asdict(counts),
        calls=report.calls,
        retries=report.retries,
        waited=report.waited,
        seconds=report.seconds,
        files=report.files,
        partial=report.partial,
        began=report.began,
        ended_at=ended_at,
    )


class History:
    """The counts of runs. Every method raises `TransientError` where the database does not answer."""

    def __init__(self, engine: sqlalchemy.Engine) -> None:
        self._engine = engine
        self._dialect = postgresql if engine.dialect.name == "postgresql" else sqlite

    def keep(self, counts: RunCounts) -> None:
        """A run has ended, for the first time or anew."""
        run = {**asdict(counts), "run_id": stored(counts.run_id), "ended_at": counts.ended_at.timestamp()}
        nothing = dict.fromkeys(GROWING, 0)
        begin = self._dialect.insert(_runs).values({**run, **nothing}).on_conflict_do_nothing()
        this = _these(counts.dag_id, [counts.run_id])
        # Until the end of the transaction nobody else reads the row: SQLite has the whole file locked.
        read = sqlalchemy.select(_runs).where(this).with_for_update()
        with transaction(self._engine, f"the counts of the run `{counts.run_id}`") as connection:
            connection.execute(begin)
            before = connection.execute(read).mappings().one()
            told = before if before["began"] == counts.began else nothing
            more = {name: max(0, run[name] - told[name]) for name in GROWING}
            connection.execute(sqlalchemy.update(_runs).where(this).values(run))
            connection.execute(self._added(counts, more))

    def _added(self, counts: RunCounts, more: dict[str, float]) -> sqlalchemy.Executable:
        first = self._dialect.insert(_totals).values(
            dag_id=counts.dag_id,
            state=counts.state,
            runs=1,
            seconds=counts.seconds,
            **more,
            last_seconds=counts.seconds,
            last_ended_at=counts.ended_at.timestamp(),
        )
        new = first.excluded
        added = {name: _totals.c[name] + new[name] for name in SUMMED}
        last = {name: new[name] for name in ("last_seconds", "last_ended_at")}
        upsert: sqlalchemy.Executable = first.on_conflict_do_update(
            index_elements=["dag_id", "state"], set_={**added, **last}
        )
        return upsert

    def of(self, dag_id: str, run_ids: Sequence[str]) -> dict[str, RunCounts]:
        """The counts of those of these runs that were told, by their ids; one query."""
        ids = {stored(run_id): run_id for run_id in run_ids}
        with answering("the counts of runs"), self._engine.connect() as connection:
            found = connection.execute(sqlalchemy.select(_runs).where(_these(dag_id, run_ids))).mappings().all()
        return {
            (run_id := ids[row["run_id"]]): RunCounts(
                **{**row, "run_id": run_id, "ended_at": datetime.fromtimestamp(row["ended_at"], UTC)}
            )
            for row in found
        }

    def totals(self, dag_ids: Iterable[str]) -> list[Totals]:
        """The totals of these DAGs, one for each state that a run of them has ended in."""
        read = sqlalchemy.select(_totals).where(_totals.c.dag_id.in_([*dag_ids]))
        with answering("the totals of the runs"), self._engine.connect() as connection:
            return [Totals(**row) for row in connection.execute(read).mappings()]


def _these(dag_id: str, run_ids: Iterable[str]) -> sqlalchemy.ColumnElement[bool]:
    return (_runs.c.dag_id == dag_id) & _runs.c.run_id.in_([stored(run_id) for run_id in run_ids])
