"""Having an Airflow on this machine: starting it, waiting until it has read the DAGs, using the one that is up."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any

from include.common.errors import ConfigError, TransientError
from include.launch.embedded import processes
from include.launch.embedded.environment import USER, Home, airflow_environment, of_api_server, user_environment
from include.launch.embedded.processes import Running
from include.orchestration import paths, systems
from include.orchestration.rest import AirflowApi

START_SECONDS = 180
POLL_SECONDS = 0.5
NEEDED = ("scheduler", "dag_processor")
# Its module is run, not imported: it would import Airflow's command line here.
SCHEDULER = "include.launch.embedded.scheduler"
# What a user may set for all systems, beside each one's own.
SHARED = (
    "AIRFLOW_CONN_TELEGRAM_DEFAULT",
    "BOT_TOKEN",
    "CHAT_ID",
    "HEADRACE_DATABASE_URL",
    "HEADRACE_METRICS_TOKEN",
    "HEADRACE_POOLS",
    "HEADRACE_STORAGE",
)


@contextlib.contextmanager
def using(home: Home, dag_id: str) -> Iterator[Running]:
    """The Airflow that `make up` started where there is one, else one of our own for a run of a DAG in the block."""
    running = processes.find_running(home)
    if running and running.lasting and not running.dead():
        yield running
        return
    with processes.alone(home, "make run"):
        if running:
            stopped = ", ".join(processes.stop(home, running))
            print(
                f"stopped what an earlier start left behind: {stopped}" + "; `make up` starts it anew" * running.lasting
            )
        print("starting an Airflow for this run (some 15 s; `make up` keeps one)", flush=True)
        running = start(home, processes.free_port(), dag_id)
        try:
            wait_for_dags(home, running)
            api = AirflowApi(running.web, USER, home.password())
            for run in api.unfinished_runs():  # cut off with an earlier Airflow: nobody works on them
                api.end_run(run["dag_id"], run["dag_run_id"], ("queued", "running"))
            yield running
        finally:
            processes.stop(home, running)


def start(home: Home, port: int, dag_id: str | None = None) -> Running:
    """Start the demos that are needed, then Airflow's processes; returns when they answer.

    It lasts and schedules every DAG, or is there for one run of `dag_id`.
    """
    lasting = dag_id is None
    demos = [(demo, processes.free_port()) for demo in systems.demos(user_environment(), dag_id)]
    addresses = {demo.variable: demo.url_at(its_port) for demo, its_port in demos if demo.variable}
    environment = airflow_environment(home, port, addresses, schedule=lasting)
    # A lasting Airflow always begins with the pools of the file: a task in a pool that is gone waits for ever.
    processes.prepare(home, environment, again=lasting, data=True)
    if lasting:
        _fill(environment, [demo.name for demo, _ in demos])
    running = Running(
        port,
        lasting,
        storage=str(paths.storage(environment)),
        demos={demo.name: demo.url_at(its_port) for demo, its_port in demos},
        given=_given(),
    )
    try:
        for demo, its_port in demos:
            own = {**environment, **demo.environment_with(addresses)}
            processes.start(home, running, demo.name, demo.command_at(its_port), own)
        services = ["api-server", "scheduler", "dag-processor", *(["triggerer"] if lasting else [])]
        for service in services:
            its_own = of_api_server(home, environment) if service == "api-server" else environment
            processes.start(home, running, service, _command(service, lasting), its_own)
        api = AirflowApi(running.web, USER, home.password())
        _wait(home, running, lambda: api.is_healthy(()), lambda: "Airflow's API server did not answer")
        api.prepare_for_tasks()
        _wait(home, running, lambda: api.is_healthy(NEEDED), lambda: "Airflow did not get healthy")
    except BaseException:
        processes.stop(home, running)
        raise
    return running


def _fill(environment: Mapping[str, str], demos: Collection[str]) -> None:
    """Have each system show what these demos offer, and nothing of others."""
    for system in systems.SYSTEMS:
        if system.fill:
            import_module(system.fill).fill(environment, demos)


def _command(service: str, lasting: bool) -> list[str]:
    """The module and the arguments of an Airflow service."""
    # Logs are read from this machine's disk; the log servers would listen on every interface.
    quiet = ["--skip-serve-logs"] if service in ("scheduler", "triggerer") else []
    if service == "scheduler":
        return [SCHEDULER, *quiet, *([] if lasting else ["--with-bundle"])]
    return ["airflow", service, *quiet]


def _given() -> dict[str, str]:
    """What a user has set here of what the processes take when they start: digests, for it may be secret."""
    mine = user_environment()
    names = (*SHARED, *(name for system in systems.SYSTEMS for name in system.variables()))
    return {name: hashlib.sha256(mine[name].encode()).hexdigest() for name in names if mine.get(name)}


def changed_since(running: Running) -> list[str]:
    """The variables that are set here otherwise than when what is running was started."""
    return sorted(name for name, digest in _given().items() if running.given.get(name) != digest)


def wait_for_dags(home: Home, running: Running) -> None:
    """Wait until every DAG was parsed by this Airflow; raises `ConfigError` for DAG files that do not import."""
    api = AirflowApi(running.web, USER, home.password())
    since = min(started.created for started in running.processes)
    missing = systems.dag_ids()

    def parsed() -> bool:
        if errors := api.import_errors(since):
            raise ConfigError("DAG files that do not import:\n  " + "\n  ".join(errors))
        while missing and _parsed_after(api.find_dag(missing[0]), since):
            missing.pop(0)
        return not missing

    _wait(home, running, parsed, lambda: f"the DAGs {', '.join(missing)} were not parsed")


def _parsed_after(dag: dict[str, Any] | None, since: float) -> bool:
    return bool(dag and dag["last_parsed_time"] and datetime.fromisoformat(dag["last_parsed_time"]).timestamp() > since)


def _wait(home: Home, running: Running, ready: Callable[[], bool], failure: Callable[[], str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        processes.check_alive(home, running)
        if time.monotonic() > deadline:
            raise TransientError(f"{failure()} within {START_SECONDS} s; logs are in `{home.logs}`")
        time.sleep(POLL_SECONDS)
