"""What `make run` does: a run of a DAG, started and followed to its end."""

import contextlib
import os
import sys
import time
from pathlib import Path

from include.common.errors import ConfigError, HeadraceError, PermanentError, TransientError
from include.launch.embedded import processes
from include.launch.embedded.environment import USER, Home
from include.launch.embedded.processes import Running
from include.launch.embedded.service import changed_since, using
from include.launch.embedded.stopping import STOP_SECONDS, no_more_interrupts, report_late, stop_run
from include.launch.embedded.turn import turn
from include.launch.follow import TIMEOUT, Follower
from include.launch.run_request import RunRequest
from include.orchestration import paths, systems
from include.orchestration.rest import AirflowApi
from include.orchestration.runner import Again


class Located:
    """Where the Airflow of a home is: one that `make up` started may be stopped and started anew, elsewhere."""

    def __init__(self, home: Home, running: Running) -> None:
        self._home, self._running = home, running
        self._api = self._connect()

    def __call__(self) -> AirflowApi:
        """The API to ask; `TransientError` where a lasting Airflow is not up, `PermanentError` for one of this run."""
        if not self._running.dead():
            return self._api
        try:
            found = processes.find_running(self._home) or self._running
            processes.check_alive(self._home, found)
        except TransientError as error:
            if not self._running.lasting:
                raise PermanentError(str(error)) from error
            raise TransientError(f"Airflow is not up, `make up` starts it ({str(error).splitlines()[0]})") from error
        self._running = found
        self._api = self._connect()
        return self._api

    def _connect(self) -> AirflowApi:
        return AirflowApi(self._running.web, USER, self._home.password(), TIMEOUT)


def run(home: Home, request: RunRequest) -> bool:
    """Run a DAG once and follow it to its end; whether it succeeded."""
    dag_id = request.dag_id
    home.create()
    with using(home, dag_id) as running:
        api = AirflowApi(running.web, USER, home.password())
        if errors := [error for error in api.import_errors(0.0) if f"{systems.file_of(dag_id)}:" in error]:
            raise ConfigError("the DAG's file does not import:\n  " + "\n  ".join(errors))
        changed = changed_since(running)
        taken = systems.system_of(dag_id).variables(dag_id)
        conf = request.conf(set(taken) - set(changed))
        if ignored := sorted(set(changed) - request.variables()):
            print(f"note: `make up` runs with its own {', '.join(ignored)}; what is set here is not used", flush=True)
        with turn(api, dag_id, conf, scheduled=running.lasting) as run_id:
            where = f": {running.web}/dags/{dag_id}/runs/{run_id}" if running.lasting else ""
            print(f"run {run_id} of {dag_id}{where}", flush=True)
            followed = request.run(paths.located(running.storage, "HEADRACE_STORAGE"), run_id)
            follower = Follower(Located(home, running), followed, sys.stdout)
            started, state, stopped, ended = time.monotonic(), "failed", False, False
            try:
                state = follower.follow()
            except KeyboardInterrupt:
                hurry = no_more_interrupts()
                stopped = True
                stopping = AirflowApi(running.web, USER, home.password(), timeout=1)
                ended = stop_run(stopping, followed, hurry)
                if not running.lasting:
                    print("  stopping Airflow", flush=True)
                    if not ended:
                        with contextlib.suppress(HeadraceError):
                            stopping.end_run(dag_id, run_id)  # or the next Airflow would go on with it
                    processes.stop(home, running, STOP_SECONDS)
    if stopped:
        if not ended and not running.lasting:
            report_late(home, running, followed, time.monotonic() - started)
        print("stopped by you; the run is marked failed, the last output stays", flush=True)
    follower.summarize(state, _again(home, running))
    return state == "success"


def _again(home: Home, running: Running) -> Again:
    """How a person starts a run on this home once more."""
    variables = {} if home.path == paths.PROJECT / ".airflow" else {"HEADRACE_HOME": str(home.path)}
    if not running.lasting and (storage := os.environ.get("HEADRACE_STORAGE")):
        variables["HEADRACE_STORAGE"] = storage if "://" in storage else str(Path(storage).absolute())
    secret = () if running.lasting else (name for name in os.environ if name.startswith("AIRFLOW_CONN_"))
    return Again("make run", variables, frozenset(secret))
