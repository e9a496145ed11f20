"""What tasks cannot ask Airflow about their pool: told by the scheduler, and taken by it from what they answer."""

import contextlib
import json
import sqlite3
from types import SimpleNamespace

import pytest
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.tasklog import LogTemplate
from sqlalchemy import create_engine, event, select
from sqlalchemy.orm import Session

from include.orchestration import pool_slots
from include.orchestration.pool_slots import SLOTS, SLOTS_PER_TASK, on_dag_run_running, task_instance_mutation_hook


class Tasks:
    """The tasks of a DAG: `plan`, and what is expanded from its list in `pool`."""

    def __init__(self, pool="csv_api"):
        plan = SimpleNamespace(is_mapped=False, pool="default_pool", upstream_task_ids=set())
        call = SimpleNamespace(is_mapped=True, pool=pool, upstream_task_ids={"plan"})
        self.task_dict = {"plan": plan, "call_api": call}


@pytest.fixture
def kept(monkeypatch):
    """The state of tasks, by task and key."""
    kept = {}

    class Backend:
        def set(self, scope, key, value, session):
            kept[scope.task_id, key] = value

        def get(self, scope, key, session):
            return kept.get((scope.task_id, key))

    monkeypatch.setattr("airflow.state._backend_instance", Backend())
    return kept


@pytest.fixture
def dag_run(monkeypatch, kept):
    monkeypatch.setattr(pool_slots, "_is_heeded", lambda: True)
    with Session(create_engine("sqlite://")) as session:
        run = DagRun(dag_id="a", run_id="one")
        monkeypatch.setattr("sqlalchemy.orm.object_session", lambda of: session if of is run else None)
        run.dag = Tasks()
        yield run


@pytest.mark.parametrize(("slots", "told"), [(20, {("plan", SLOTS): "20"}), (0, {}), (-1, {})])
def test_who_plans_is_told_of_a_pool_with_a_number_of_slots(dag_run, kept, monkeypatch, slots, told):
    monkeypatch.setattr(Pool, "get_pool", lambda name, session: SimpleNamespace(slots=slots))
    on_dag_run_running(dag_run=dag_run)
    assert kept == told


def test_nobody_is_told_of_a_pool_that_is_not_there_or_is_everybodys(dag_run, kept, monkeypatch):
    monkeypatch.setattr(Pool, "get_pool", lambda name, session: None)
    on_dag_run_running(dag_run=dag_run)
    monkeypatch.setattr(Pool, "get_pool", lambda name, session: SimpleNamespace(slots=128))
    dag_run.dag = Tasks("default_pool")
    on_dag_run_running(dag_run=dag_run)
    assert kept == {}


def test_nobody_is_told_where_airflow_would_not_take_the_answer(dag_run, kept, monkeypatch):
    monkeypatch.setattr(pool_slots, "_is_heeded", lambda: False)
    monkeypatch.setattr(Pool, "get_pool", lambda name, session: SimpleNamespace(slots=20))
    on_dag_run_running(dag_run=dag_run)
    assert kept == {}


def test_somebody_else_who_writes_meanwhile_costs_the_scheduler_nothing(tmp_path, monkeypatch):
    """SQLite refuses at once the first write of a transaction that has read before another one wrote."""
    monkeypatch.setattr(pool_slots, "_is_heeded", lambda: True)
    path = tmp_path / "airflow.db"
    engine = create_engine(f"sqlite:///{path}")
    tables = (model.__table__ for model in (DagRun, LogTemplate, Pool, TaskStateStoreModel))
    Base.metadata.create_all(engine, tables=list(tables))
    other = sqlite3.connect(path, timeout=0)
    other.execute("PRAGMA journal_mode=WAL")
    with Session(engine) as session:
        session.add_all(
            [
                Pool(pool="csv_api", slots=20, include_deferred=False),
                DagRun(dag_id="a", run_id="one", run_type="manual"),
            ]
        )
        session.commit()

    @event.listens_for(engine, "before_cursor_execute")
    def write(connection, cursor, statement, *_):
        if statement.startswith("INSERT INTO task_state_store"):
            with contextlib.suppress(sqlite3.OperationalError), other:  # it may have to wait
                other.execute("UPDATE slot_pool SET description = 'changed'")

    with Session(engine, autoflush=False) as session:  # as the scheduler's
        run = session.scalars(select(DagRun)).one()
        run.dag = Tasks()
        run.state = "running"
        on_dag_run_running(dag_run=run)
        session.commit()
    with Session(engine) as session:
        assert session.scalars(select(DagRun.state)).one() == "running"
        assert session.scalars(select(TaskStateStoreModel.value)).one() == "20"


def call(map_index=0):
    return SimpleNamespace(map_index=map_index, pool_slots=1, task=SimpleNamespace(upstream_task_ids={"plan"}))


def test_a_mapped_task_takes_the_slots_that_who_planned_said(dag_run, kept):
    kept["plan", SLOTS_PER_TASK] = json.dumps(4)
    task = call()
    task_instance_mutation_hook(task, dag_run)
    assert task.pool_slots == 4


@pytest.mark.parametrize("map_index", [-1, 0])
def test_another_task_takes_what_its_dag_says(dag_run, kept, map_index):
    if map_index < 0:
        kept["plan", SLOTS_PER_TASK] = json.dumps(4)
    task = call(map_index)
    task_instance_mutation_hook(task, dag_run)
    task_instance_mutation_hook(task, None)
    assert task.pool_slots == 1
