"""Runs and their tasks, read from Airflow's tables."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from airflow.models import DagRun as Row
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.utils.types import DagRunType
from sqlalchemy import event, insert

from include.orchestration.dag_runs import Task, find_run, is_skipped, list_runs, list_tasks
from include.web.runs import DagRun

NOW = datetime(2026, 11, 26, 13, tzinfo=UTC)


@pytest.fixture
def queries(session):
    """The statements that were executed."""
    found = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *arguments: found.append(arguments[2]))
    return found


def add_run(session, number, dag_id="a", state="success", kind=DagRunType.MANUAL, who=None, conf=None):
    run = Row(dag_id=dag_id, run_id=f"run-{number}", run_type=kind, state=state, conf=conf)
    run.run_after = run.start_date = NOW + timedelta(hours=number)
    run.triggering_user_name = who
    session.add(run)
    session.flush()
    return run


def add_task(session, run, index, state, kept=None):
    session.execute(
        insert(TaskInstance).values(
            task_id="call_api", dag_id=run.dag_id, run_id=run.run_id, map_index=index, state=state, pool="csv_api"
        )
    )
    if kept is not None:
        values = {"task_id": "call_api", "map_index": index, "key": "progress", "value": json.dumps(kept)}
        session.add(TaskStateStoreModel(dag_run_id=run.id, dag_id=run.dag_id, run_id=run.run_id, **values))
    session.flush()


def test_the_newest_come_first_a_page_at_a_time_with_their_number(session, queries):
    for number in range(5):
        add_run(session, number, state="failed" if number == 1 else "success")
    add_run(session, 9, "other")
    del queries[:]
    found, total = list_runs(["a"], [], 1, 2, session)
    assert ([run.run_id for run in found], total) == (["run-3", "run-2"], 5)
    assert len(queries) == 2
    found, total = list_runs(["a", "other"], ["failed"], 0, 50, session)
    assert ([run.run_id for run in found], total) == (["run-1"], 1)


def test_a_run_says_who_started_it_and_what_it_was_given(session):
    add_run(session, 0, state="running", who="ada", conf={"limit": 3})
    add_run(session, 1, kind=DagRunType.SCHEDULED)
    add_run(session, 2, kind=DagRunType.BACKFILL_JOB)
    assert find_run("a", "run-0", session) == DagRun("a", "run-0", "running", NOW, NOW, None, "ada", {"limit": 3})
    assert find_run("a", "run-1", session).who == ""
    assert find_run("a", "run-2", session).who == "backfill"
    assert find_run("a", "run-9", session) is None


def test_mapped_tasks_come_with_what_they_keep_by_one_query(session, queries):
    run, other = add_run(session, 0), add_run(session, 1)
    add_task(session, run, 0, "running", {"done": 3})
    add_task(session, run, 1, None)
    add_task(session, run, -1, None)
    add_task(session, other, 0, "success", {"done": 9})
    del queries[:]
    assert list_tasks("a", "run-0", ["call_api"], "progress", session) == [
        Task("call_api", 0, "running", "csv_api", {"done": 3}),
        Task("call_api", 1, None, "csv_api", None),
    ]
    assert len(queries) == 1


def test_a_run_that_was_ended_before_it_began_is_known_by_its_skipped_task(session):
    run = add_run(session, 1, state="queued")
    assert not is_skipped("a", "run-1", "call_api", session)
    add_task(session, run, -1, "skipped")
    assert is_skipped("a", "run-1", "call_api", session)
