"""Airflow's pools as they are, for tasks, which cannot ask: how many slots there are, and how many each task takes.

The scheduler tells the task that plans a run what the pool of the run's calls has (`on_dag_run_running`). That task
says how many of them each call task takes, and has so many requests in flight; Airflow takes that number wherever it
makes such a task anew (`task_instance_mutation_hook`), in the scheduler, in the API server and on the command line.
"""

import json
import logging
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)
# Of the planning task's state: what it is told, and what it answers.
SLOTS, SLOTS_PER_TASK = "pool_slots", "pool_slots_per_task"


@hookimpl
def on_dag_run_running(dag_run: "DagRun") -> None:
    """Tell each task whose list others are expanded from, in a pool, how many slots the pool has."""
    from airflow.models.pool import Pool
    from airflow.state import TaskScope, get_state_backend
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None or not _is_heeded() or not (told := _planned_pools(dag_run)):
        return
    # First the scheduler's own change: SQLite refuses a transaction that has read, and writes after somebody else has.
    session.flush()
    # A savepoint: what goes wrong here leaves the scheduler's transaction as it is.
    with session.connection().begin_nested():
        for planning, name in told.items():
            pool = Pool.get_pool(name, session=session)
            if pool and pool.slots > 0:
                scope = TaskScope(dag_id=dag_run.dag_id, run_id=dag_run.run_id, task_id=planning)
                get_state_backend().set(scope, SLOTS, json.dumps(pool.slots), session=session)


def task_instance_mutation_hook(task_instance: "TaskInstance", dag_run: "DagRun | None") -> None:
    """Have a mapped task take as many slots of its pool as the task said that planned its run."""
    from sqlalchemy.orm import object_session

    session = object_session(dag_run) if dag_run else None
    if session is None or dag_run is None or task_instance.map_index < 0:
        return
    if (taken := _slots_per_task(task_instance, dag_run, session)) is not None:
        task_instance.pool_slots = taken


def _planned_pools(dag_run: "DagRun") -> dict[str, str]:
    """The planning tasks of a run's DAG, each with the pool of the tasks that are expanded from its list."""
    from airflow.models.pool import Pool

    tasks: Any = dag_run.dag.task_dict.values() if dag_run.dag else ()
    mapped = (task for task in tasks if task.is_mapped and task.pool != Pool.DEFAULT_POOL_NAME)
    return {planning: task.pool for task in mapped for planning in task.upstream_task_ids}


def _slots_per_task(task_instance: "TaskInstance", dag_run: "DagRun", session: "Session") -> int | None:
    from airflow.state import TaskScope, get_state_backend

    for planning in task_instance.task.upstream_task_ids if task_instance.task else ():
        scope = TaskScope(dag_id=dag_run.dag_id, run_id=dag_run.run_id, task_id=planning)
        with session.no_autoflush:
            found = get_state_backend().get(scope, SLOTS_PER_TASK, session=session)
        if found is not None:
            return int(json.loads(found))
    return None


def _is_heeded() -> bool:
    """Whether Airflow asks this module what a task takes: another `airflow_local_settings` may stand before ours."""
    from airflow.settings import get_policy_plugin_manager

    asked = get_policy_plugin_manager().hook.task_instance_mutation_hook.get_hookimpls()
    return any(implementation.function is task_instance_mutation_hook for implementation in asked)
