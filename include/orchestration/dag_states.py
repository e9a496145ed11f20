"""How DAGs are, from Airflow's own tables: for the api-server, the only process whose code may read them."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import aliased

from include.orchestration.metadata import reading
from include.web.overview import DagState, Run

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def dag_states(dag_ids: Collection[str], session: "Session | None" = None) -> dict[str, DagState]:
    """Those of the DAGs that Airflow has read, each with its newest run, by one query, however many.

    Raises `TransientError` where that cannot be read.
    """
    from airflow.models import DagModel, DagRun

    newest = aliased(DagRun)
    newest_id = (
        select(newest.id)
        .where(newest.dag_id == DagModel.dag_id)
        .order_by(newest.run_after.desc(), newest.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(
            DagModel.dag_id,
            DagModel.is_paused,
            DagModel.timetable_description,
            DagModel.next_dagrun_create_after,
            DagModel.has_import_errors,
            DagRun.run_id,
            DagRun.state,
            DagRun.start_date,
            DagRun.run_after,
        )
        .join(DagRun, DagRun.id == newest_id, isouter=True)
        .where(DagModel.dag_id.in_(dag_ids), DagModel.is_stale.is_(False))
    )
    with reading(session) as opened:
        rows = opened.execute(query).all()
    return {
        row.dag_id: DagState(
            is_on=not row.is_paused,
            schedule=row.timetable_description or "",
            next_at=row.next_dagrun_create_after,
            last=Run(row.run_id, str(row.state), row.start_date or row.run_after) if row.run_id else None,
            is_broken=bool(row.has_import_errors),
        )
        for row in rows
    }
