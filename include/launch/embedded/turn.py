"""A run of a DAG that may be paused: Airflow runs nothing of a paused DAG, and one that is not has its schedule too."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from include.common.errors import ConfigError, quoted
from include.orchestration.rest import AirflowApi


@contextlib.contextmanager
def turn(api: AirflowApi, dag_id: str, conf: dict[str, Any], scheduled: bool) -> Iterator[str]:
    """Start a run and have it executed, and no other one of the DAG where that is paused; gives the run's id.

    A paused DAG is so again after the block. `scheduled` is whether Airflow starts runs by itself. Raises `ConfigError`
    where a paused DAG has runs that have not ended: they would go on.
    """
    dag = api.find_dag(dag_id) or {}
    if not dag.get("is_paused"):
        yield api.trigger(dag_id, conf)
        return
    if scheduled and (waiting := api.unfinished_runs(dag_id)):
        names = quoted(tuple(run["dag_run_id"] for run in waiting))
        raise ConfigError(
            f"`{dag_id}` is paused, and {names} would go on with it unpaused for this run; unpause it, or delete them"
        )
    run_id = _in_place_of_schedule(api, dag_id, conf, dag) if scheduled else api.trigger(dag_id, conf)
    api.pause(dag_id, False)
    try:
        yield run_id
    finally:
        api.pause(dag_id, True)  # its schedule was off, and stays so
        for run in api.unfinished_runs(dag_id):
            if run["run_type"] != "manual":  # it became due meanwhile: paused, it has called nothing
                api.drop_run(dag_id, run["dag_run_id"])


def _in_place_of_schedule(api: AirflowApi, dag_id: str, conf: dict[str, Any], dag: dict[str, Any]) -> str:
    """Start a run that stands where an overdue one of the schedule would: the scheduler makes none beside it.

    It is due before that one, so that even one that the scheduler has made at this moment waits behind it.
    """
    if not (due := dag.get("next_dagrun_run_after")) or datetime.fromisoformat(due) > datetime.now(UTC):
        return api.trigger(dag_id, conf)
    before = datetime.fromisoformat(due) - timedelta(seconds=1)
    run_id = f"manual__{datetime.now(UTC).isoformat()}"
    taken = dag.get("next_dagrun_logical_date")
    return api.trigger(dag_id, conf, run_id, logical_date=taken, run_after=before)
