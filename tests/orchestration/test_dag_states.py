"""How DAGs are, read from Airflow's tables."""

from datetime import UTC, datetime, timedelta

import pytest
from airflow.models import DagModel, DagRun
from airflow.utils.types import DagRunType
from sqlalchemy import event

from include.common.errors import TransientError
from include.orchestration.dag_states import dag_states
from include.web.overview import DagState, Run

NOW = datetime(2026, 11, 26, 13, tzinfo=UTC)


def add_dag(session, dag_id, *states, **values):
    defaults = {"is_paused": False, "is_stale": False, "timetable_description": "Every hour"}
    counts = {"max_active_tasks": 1, "max_active_runs": 1, "max_consecutive_failed_dag_runs": 0}
    session.add(
        DagModel(
            dag_id=dag_id,
            bundle_name="headrace",
            **counts,
            **{"has_task_concurrency_limits": False, **defaults, **values},
        )
    )
    for number, state in enumerate(states):
        at = NOW + timedelta(hours=number)
        session.add(
            DagRun(
                dag_id=dag_id,
                run_id=f"run-{number}",
                run_type=DagRunType.MANUAL,
                state=state,
                run_after=at,
                start_date=at,
            )
        )
    session.flush()


def test_a_dag_has_its_newest_run(session):
    add_dag(session, "a", "success", "failed", next_dagrun_create_after=NOW)
    add_dag(session, "b", is_paused=True, timetable_description=None, has_import_errors=True)
    assert dag_states(["a", "b", "c"], session) == {
        "a": DagState(True, "Every hour", NOW, Run("run-1", "failed", NOW + timedelta(hours=1))),
        "b": DagState(False, is_broken=True),
    }


def test_a_dag_that_is_gone_or_not_asked_for_is_left_out(session):
    add_dag(session, "gone", is_stale=True)
    add_dag(session, "other")
    assert dag_states(["gone"], session) == {}


def test_one_query_reads_all_dags(session):
    for number in range(20):
        add_dag(session, f"dag_{number}", "success", "running")
    queries = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *told: queries.append(told[2]))
    assert len(dag_states([f"dag_{number}" for number in range(20)], session)) == 20
    assert len(queries) == 1


def test_a_database_that_cannot_be_read_is_a_sentence(session):
    session.connection().exec_driver_sql("DROP TABLE dag_run")
    with pytest.raises(TransientError, match="Airflow's database cannot be read"):
        dag_states(["a"], session)
