"""What `make up`, `make down` and `make run` do."""

import time
from pathlib import Path

from include.common.errors import ConfigError
from include.enrichment.progress import KEPT_AS
from include.enrichment.report import foreseen, read_report
from include.enrichment.run import RunFolder
from include.launch.embedded import processes
from include.launch.embedded.environment import USER, Home
from include.launch.embedded.processes import Running
from include.launch.embedded.progress import Progress, Rows
from include.launch.embedded.service import POLL_SECONDS, changed_since, start, using, wait_for_dags
from include.launch.run_request import DEFAULT_DAG, RunRequest
from include.orchestration import paths, systems
from include.orchestration.rest import AirflowApi


def place(name: str, text: str) -> str:
    """Where a run finds a file: a URL, or an absolute path, relative ones from where the command was typed."""
    if "://" in text:
        return text
    try:
        path = str(Path(text).expanduser().absolute())
        path.encode()
    except RuntimeError as error:
        raise ConfigError(f"{name} is `{text}`: {error}") from error
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name} is {text!r}: a path that is not UTF-8 cannot be handed to Airflow") from error
    return path


def up(home: Home, port: int) -> None:
    """Start a lasting Airflow and print how to get in."""
    home.create()
    with processes.alone(home, "make up"):
        if running := processes.find_running(home):
            if running.lasting and not running.dead():
                print(f"already up: {running.web}  (user {USER}, password {home.password()})")
                return
            processes.stop(home, running)
        processes.check_port(port)
        running = start(home, port)
        try:
            wait_for_dags(home, running)
        except BaseException:
            processes.stop(home, running)
            raise
    print(f"Airflow is up: {running.web}\n  user      {USER}\n  password  {home.password()}\n  stop it   make down")
    print("  This login is Airflow's simple auth manager, for one machine; README, Security, names others.")


def down(home: Home) -> None:
    """Stop every process that `up` started."""
    if not home.path.exists():
        print("nothing is running")
        return
    with processes.alone(home, "make down"):
        running = processes.find_running(home)
        print(f"stopped: {', '.join(processes.stop(home, running))}" if running else "nothing is running")


def run(home: Home, request: RunRequest) -> bool:
    """Run a DAG once and follow it to its end; whether it succeeded."""
    if request.dag_id not in (allowed := systems.dag_ids()):
        raise ConfigError(f"DAG is `{request.dag_id}`; allowed is one of {', '.join(allowed)}")
    home.create()
    with using(home, request.dag_id) as running:
        api = AirflowApi(running.web, USER, home.password())
        if errors := [error for error in api.import_errors(0.0) if f"{systems.file_of(request.dag_id)}:" in error]:
            raise ConfigError("the DAG's file does not import:\n  " + "\n  ".join(errors))
        changed = changed_since(running)
        taken = systems.system_of(request.dag_id).variables(request.dag_id)
        conf = request.conf(set(taken) - set(changed))
        if ignored := sorted(set(changed) - request.variables()):
            print(f"note: `make up` runs with its own {', '.join(ignored)}; what is set here is not used", flush=True)
        paused = bool((api.find_dag(request.dag_id) or {}).get("is_paused"))
        run_id = api.trigger(request.dag_id, conf)
        api.pause(request.dag_id, False)
        where = f": {running.web}/dags/{request.dag_id}/runs/{run_id}" if running.lasting else ""
        print(f"run {run_id} of {request.dag_id}{where}", flush=True)
        folder = RunFolder(paths.located(running.storage, "HEADRACE_STORAGE"), request.dag_id, run_id)
        try:
            state = _follow(home, running, api, folder, request, run_id)
        except KeyboardInterrupt:
            if folder.mark.exists():
                folder.stop("stopped by the person who started the run")  # before anything that takes time
            api.fail_run(request.dag_id, run_id)
            print("\nstopped by you; the run is marked failed, the last output stays")
            return False
        finally:
            if paused:
                api.pause(request.dag_id, True)  # its schedule was off, and stays so
    _summarize(folder, state, request)
    return state == "success"


def _follow(home: Home, running: Running, api: AirflowApi, folder: RunFolder, request: RunRequest, run_id: str) -> str:
    """Show the run's progress until it has ended; returns its state."""
    rows = Rows(lambda index: api.kept_state(request.dag_id, run_id, "call_api", index, KEPT_AS))
    progress = Progress(folder, rows)
    while (state := api.run_state(request.dag_id, run_id)) not in ("success", "failed"):
        processes.check_alive(home, running)
        _say_limit(progress, request)
        if state == "queued":
            others = [other for dag, other in api.unfinished_runs() if dag == request.dag_id and other != run_id]
            progress.show([], f"queued behind {others[0]}" if others else state)
        else:
            progress.show(api.task_states(request.dag_id, run_id), state)
        time.sleep(POLL_SECONDS)
    progress.end()
    _say_limit(progress, request)  # of a run that ended before its plan was seen
    return state


def _say_limit(progress: Progress, request: RunRequest) -> None:
    """The rate limit of the run, once, as soon as its plan is there; where it is the DAG's own, how to lift it."""
    if plan := progress.find_plan():
        own = "rate_limit" not in request.given and plan.rate_limit != "none"
        hint = " (the DAG's own limit; RATE=none or RATE=50/second changes it)" if own else ""
        print(foreseen(plan) + hint, flush=True)


def _summarize(folder: RunFolder, state: str, request: RunRequest) -> None:
    report = read_report(folder)
    if report is None:
        print(f"{request.dag_id}: {state}, and it left no report; see the tasks' logs")
        return
    print(report.as_text())
    if report.counts and report.counts.ok and report.counts.failed:
        print(
            f"to call only the rows that failed again: make run RETRY_FAILED_OF={report.run_id}"
            + f" DAG={request.dag_id}" * (request.dag_id != DEFAULT_DAG)
        )
