"""Having an Airflow on this machine: starting it, waiting until it has read the DAGs, using the one that is up."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from include.common.errors import ConfigError, TransientError
from include.launch.embedded import processes
from include.launch.embedded.environment import USER, Home, airflow_environment, user_environment
from include.launch.embedded.processes import Running
from include.orchestration import paths
from include.orchestration.rest import AirflowApi

START_SECONDS = 180
POLL_SECONDS = 0.5
NEEDED = ("scheduler", "dag_processor")
# Its module is run, not imported: it would import Airflow's command line here.
SCHEDULER = "include.launch.embedded.scheduler"


@contextlib.contextmanager
def using(home: Home) -> Iterator[Running]:
    """The Airflow that `make up` started where there is one, else one of our own for the time of the block."""
    running = processes.find_running(home)
    if running and running.lasting and not running.dead():
        yield running
        return
    with processes.alone(home):
        if running:
            stopped = ", ".join(processes.stop(home, running))
            print(
                f"stopped what an earlier start left behind: {stopped}" + "; `make up` starts it anew" * running.lasting
            )
        print("starting an Airflow for this run (some 15 s; `make up` keeps one)", flush=True)
        running = start(home, processes.free_port(), lasting=False)
        try:
            wait_for_dags(home, running)
            api = AirflowApi(running.web, USER, home.password())
            for dag_id, run_id in api.unfinished_runs():  # cut off with an earlier Airflow: nobody works on them
                api.fail_run(dag_id, run_id)
            yield running
        finally:
            processes.stop(home, running)


def start(home: Home, port: int, lasting: bool) -> Running:
    """Start the demo API where no other is named, then Airflow's processes; returns when they answer."""
    mine = user_environment()
    demo_port = None if mine.get("API_URL") or mine.get("AIRFLOW_CONN_CSV_API") else processes.free_port()
    environment = airflow_environment(home, port, demo_port, schedule=lasting)
    # A lasting Airflow always begins with the pools of the file: a task in a pool that is gone waits for ever.
    processes.prepare(home, environment, again=lasting)
    given = {name: _digest(os.environ[name]) for name in processes.OWN if os.environ.get(name)}
    running = Running(port, lasting, demo_port, mine.get("API_URL", ""), str(paths.storage(environment)), given)
    try:
        if demo_port:
            processes.start(home, running, "demo-api", ["include.demo_api", "--port", str(demo_port)], environment)
        services = ["api-server", "scheduler", "dag-processor", *(["triggerer"] if lasting else [])]
        for service in services:
            processes.start(home, running, service, _command(service, lasting), environment)
        api = AirflowApi(running.web, USER, home.password())
        _wait(home, running, lambda: api.is_healthy(()), "Airflow's API server did not answer")
        api.prepare_for_tasks()
        _wait(home, running, lambda: api.is_healthy(NEEDED), "Airflow did not get healthy")
    except BaseException:
        processes.stop(home, running)
        raise
    return running


def _command(service: str, lasting: bool) -> list[str]:
    """The module and the arguments of an Airflow service."""
    # Logs are read from this machine's disk; the log servers would listen on every interface.
    quiet = ["--skip-serve-logs"] if service in ("scheduler", "triggerer") else []
    if service == "scheduler":
        return [SCHEDULER, *quiet, *([] if lasting else ["--with-bundle"])]
    return ["airflow", service, *quiet]


def _digest(text: str) -> str:
    """To tell whether a secret is still the same, without keeping it."""
    return hashlib.sha256(text.encode()).hexdigest()


def changed_since(running: Running) -> list[str]:
    """The variables that are set here otherwise than when what is running was started."""
    return [
        name for name in processes.OWN if (text := os.environ.get(name)) and running.given.get(name) != _digest(text)
    ]


def dag_ids() -> list[str]:
    """The DAGs of the bundle: each file is named as its DAG."""
    return sorted(path.stem for path in (paths.PROJECT / "dags").glob("*.py"))


def wait_for_dags(home: Home, running: Running) -> None:
    """Wait until every DAG was parsed by this Airflow; raises `ConfigError` for DAG files that do not import."""
    api = AirflowApi(running.web, USER, home.password())
    since = min(started.created for started in running.processes)

    def parsed() -> bool:
        if errors := api.import_errors(since):
            raise ConfigError("DAG files that do not import:\n  " + "\n  ".join(errors))
        return all(_parsed_after(api.find_dag(dag_id), since) for dag_id in dag_ids())

    _wait(home, running, parsed, f"the DAGs {', '.join(dag_ids())} were not parsed")


def _parsed_after(dag: dict[str, Any] | None, since: float) -> bool:
    return bool(dag and dag["last_parsed_time"] and datetime.fromisoformat(dag["last_parsed_time"]).timestamp() > since)


def _wait(home: Home, running: Running, ready: Callable[[], bool], failure: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        processes.check_alive(home, running)
        if time.monotonic() > deadline:
            raise TransientError(f"{failure} within {START_SECONDS} s; logs are in `{home.logs}`")
        time.sleep(POLL_SECONDS)
