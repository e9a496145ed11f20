"""How far a run is: its tasks that have ended, and what those at work say of themselves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from include.enrichment.run import Plan

# States of a task that has begun, so that it may have said something.
BEGUN = ("running", "up_for_retry", "success", "failed")


@dataclass(frozen=True)
class ChunkTask:
    """The task of a chunk: its state in Airflow (None before it is scheduled), and the progress that it keeps."""

    index: int
    state: str | None
    said: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ChunkProgress:
    """Of a chunk's `total` rows `done` have ended, `failed` of them for good. The other fields are as in `Progress`."""

    label: str
    state: str | None
    done: int
    total: int
    failed: int = 0
    per_second: float = 0.0
    waiting: float = 0.0
    outage: bool = False


@dataclass(frozen=True)
class RunProgress:
    """Of the `total` rows to call `done` have ended. `eta` is in seconds, None where nothing is known of the pace."""

    done: int
    total: int
    failed: int
    per_second: float
    waiting: float
    eta: float | None
    outage: bool
    chunks: tuple[ChunkProgress, ...]


def run_progress(plan: Plan, tasks: Iterable[ChunkTask]) -> RunProgress:
    """How far the run of `plan` is."""
    by_index = {task.index: task for task in tasks}
    chunks = tuple(
        _chunk_progress(chunk.label, chunk.rows, by_index.get(chunk.index, ChunkTask(chunk.index, None)))
        for chunk in plan.chunks
    )
    done, pace = sum(chunk.done for chunk in chunks), sum(chunk.per_second for chunk in chunks)
    return RunProgress(
        done=done,
        total=plan.to_call,
        failed=sum(chunk.failed for chunk in chunks),
        per_second=pace,
        waiting=max((chunk.waiting for chunk in chunks), default=0.0),
        eta=(plan.to_call - done) / pace if pace else None,
        outage=any(chunk.outage for chunk in chunks),
        chunks=chunks,
    )


def _chunk_progress(label: str, rows: int, task: ChunkTask) -> ChunkProgress:
    at_work = task.state == "running"
    if rows == 1:  # it says nothing of its own
        return ChunkProgress(label, task.state, int(task.state == "success"), 1)
    said = (task.said if task.state in BEGUN else None) or {}
    return ChunkProgress(
        label,
        task.state,
        said.get("done", 0),
        rows,
        said.get("failed", 0),
        said.get("per_second", 0.0) if at_work else 0.0,
        said.get("waiting", 0.0) if at_work else 0.0,
        at_work and said.get("outage", False),
    )
