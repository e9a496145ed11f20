"""Runs of DAGs and their tasks, read from Airflow's tables: for the api-server, by queries of a fixed number."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, func, select

from include.orchestration.metadata import reading
from include.web.runs import DagRun

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Task:
    """A task instance of a run; `kept` is what it keeps under the key asked for, None where that is nothing."""

    task_id: str
    map_index: int
    state: str | None
    pool: str
    kept: Any = None


def list_runs(
    dag_ids: Collection[str], states: Collection[str], first: int, most: int, session: "Session | None" = None
) -> tuple[list[DagRun], int]:
    """The runs of DAGs from the `first` on (0 is the newest), `most` of them, and how many there are in all.

    `states` empty stands for any. Raises `TransientError` where that cannot be read.
    """
    from airflow.models import DagRun as Row

    wanted: list[ColumnElement[bool]] = [Row.dag_id.in_(dag_ids)]
    if states:
        wanted.append(Row.state.in_(states))
    with reading(session) as opened:
        total = opened.scalar(select(func.count()).select_from(Row).where(*wanted)) or 0
        query = _columns().where(*wanted).order_by(Row.run_after.desc(), Row.id.desc()).offset(first).limit(most)
        return [_run(row) for row in opened.execute(query)], total


def find_run(dag_id: str, run_id: str, session: "Session | None" = None) -> DagRun | None:
    """A run; None where Airflow has none such. Raises `TransientError` where that cannot be read."""
    from airflow.models import DagRun as Row

    with reading(session) as opened:
        found = opened.execute(_columns().where(Row.dag_id == dag_id, Row.run_id == run_id)).one_or_none()
    return None if found is None else _run(found)


def is_skipped(dag_id: str, run_id: str, task_id: str, session: "Session | None" = None) -> bool:
    """Whether a task of a run is skipped: its first one is only where a person has ended the run before it began."""
    from airflow.models.taskinstance import TaskInstance as Row

    query = select(Row.state).where(Row.dag_id == dag_id, Row.run_id == run_id, Row.task_id == task_id)
    with reading(session) as opened:
        return opened.scalar(query) == "skipped"


def list_tasks(
    dag_id: str, run_id: str, task_ids: Sequence[str], key: str, session: "Session | None" = None
) -> list[Task]:
    """Task instances of a run, each with what it keeps under `key`. Raises `TransientError` as above."""
    from airflow.models.task_state_store import TaskStateStoreModel as Kept
    from airflow.models.taskinstance import TaskInstance

    of_same_task = (
        (Kept.dag_id == TaskInstance.dag_id)
        & (Kept.run_id == TaskInstance.run_id)
        & (Kept.task_id == TaskInstance.task_id)
        & (Kept.map_index == TaskInstance.map_index)
        & (Kept.key == key)
    )
    query = (
        select(
            TaskInstance.task_id,
            TaskInstance.map_index,
            TaskInstance.state,
            TaskInstance.pool,
            Kept.value.label("kept"),
        )
        .join(Kept, of_same_task, isouter=True)
        .where(
            TaskInstance.dag_id == dag_id,
            TaskInstance.run_id == run_id,
            TaskInstance.task_id.in_(task_ids),
            TaskInstance.map_index >= 0,
        )
        .order_by(TaskInstance.task_id, TaskInstance.map_index)
    )
    with reading(session) as opened:
        return [
            Task(row.task_id, row.map_index, row.state, row.pool, None if row.kept is None else json.loads(row.kept))
            for row in opened.execute(query)
        ]


def _columns() -> Any:
    from airflow.models import DagRun as Row

    return select(
        Row.dag_id,
        Row.run_id,
        Row.state,
        Row.run_after,
        Row.start_date,
        Row.end_date,
        Row.run_type,
        Row.triggering_user_name,
        Row.conf,
    )


def _run(row: Any) -> DagRun:
    who = row.triggering_user_name or ("" if str(row.run_type) == "scheduled" else str(row.run_type))
    given = row.conf if isinstance(row.conf, dict) else {}
    return DagRun(row.dag_id, row.run_id, str(row.state), row.run_after, row.start_date, row.end_date, who, given)
