"""What a person types: `make run` on a machine where nothing runs, `make up`, `make down`."""

import json
import os
import signal
import socket
import subprocess
import time
from datetime import UTC, datetime

import httpx
import psutil
import pytest

from include.launch.embedded.environment import USER, Home
from include.launch.embedded.processes import find_running, free_port
from include.orchestration.rest import AirflowApi
from tests.demo import Demo
from tests.e2e.conftest import PROJECT, make
from tests.stand_ins.telegram import TelegramStandIn

pytest_plugins = ["tests.s3"]
PARSER_TASKS = ("parser_tasks_create", "parser_tasks_cancel_expired", "parser_task_statuses")
RESULTS = {
    ("demo: news of the mill", "done", ""),
    ("demo: a wall", "done", ""),
    ("demo: a channel", "done", ""),
    ("demo: a feed that answers too late", "cancelled", "expired"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "home"
    yield path
    make("down", home=path)


def processes_of(home):
    """Every process with this home in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AIRFLOW_HOME") == str(home):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


@pytest.mark.parametrize("signals", [1, 2])
def test_make_run_that_is_stopped_reports_says_what_it_waits_for_and_leaves_nothing(home, tmp_path, signals):
    """However often Ctrl-C is pressed, and by a kill as well."""
    source, storage = tmp_path / "in.csv", tmp_path / "storage"
    source.write_text("id\n004\n008\n")
    # Another limit for each: the home of both remembers the last call.
    given = {"CSV": str(source), "OUTPUT": str(tmp_path / "o.json"), "RATE": f"{signals}/hour"}
    command = [str(PROJECT / ".venv/bin/python"), "-m", "include.launch.embedded", "--home", str(home), "run"]
    with TelegramStandIn() as telegram:
        environment = {**os.environ, **given, "HEADRACE_STORAGE": str(storage), **target(telegram)}
        running = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)
        told = until(running, "1/2 rows")
        running.send_signal(signal.SIGINT)
        if signals == 2:
            told += until(running, "stopping: ")
            running.send_signal(signal.SIGTERM)
        told += running.stdout.read()
        assert running.wait(60) == 1
        (message,) = telegram.messages
    assert processes_of(home) == []
    assert "stopping: no further call is made; waiting up to 4 s for what is under way\n" in told
    assert "stopped by you; the run is marked failed, the last output stays\n" in told
    assert "  error: stopped by the person who started the run\n" in told
    assert "to call the 1 rows without an answer" in told
    (folder,) = (storage / "runs" / "csv_processing").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert (report["state"], report["counts"]["ok"], report["callable"]) == ("failed", 1, 1)
    assert len((folder / "errors.csv").read_text("utf-8-sig").splitlines()) == 2
    assert "error: stopped by the person who started the run" in message["text"]


def target(telegram):
    """The connection to the stand-in, as the environment has it."""
    extra = {"base_url": telegram.base_url}
    fields = {"conn_type": "telegram", "password": telegram.token, "host": telegram.chat_id, "extra": extra}
    return {"AIRFLOW_CONN_TELEGRAM_DEFAULT": json.dumps(fields)}


def until(running, text):
    """What a process writes until a line with `text`."""
    lines = []
    for line in running.stdout:
        lines.append(line)
        if text in line:
            break
    return "".join(lines)


def test_make_run_starts_what_it_needs_and_leaves_nothing_and_all_its_files_may_be_in_a_bucket(home, bucket, tmp_path):
    """In the home that the killed run was in: its run must not stand in the way."""
    (bucket / "in.csv").write_text("id\n004\n008\n012\n024\n")
    storage = str(bucket / "headrace")
    made = make("run", f"CSV={bucket}/in.csv", f"OUTPUT={bucket}/out.json", home=home, HEADRACE_STORAGE=storage)
    assert made.status == 0, made.output
    assert "rows 4, ok 4, failed 0, skipped 0" in made.output
    assert [record["id"] for record in json.loads((bucket / "out.json").read_text())] == ["004", "008", "012", "024"]
    folders = (bucket / "headrace" / "runs" / "csv_processing").iterdir()  # the killed run has one as well, of its end
    (run,) = [folder for folder in folders if (folder / "manifest.json").exists()]
    assert json.loads((run / "manifest.json").read_text())["outputs"][0]["path"] == f"{bucket}/out.json"
    assert processes_of(home) == []


def test_make_up_says_how_to_get_in_and_runs_the_schedule_and_make_down_stops_it_all(tmp_path):
    """Of a DAG that is paused it runs what it is asked for, though a run of the schedule is overdue."""
    home, port = tmp_path / "home", free_port()
    made = make("up", f"PORT={port}", home=home, AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="True")
    try:
        check_what_is_up(made, home, port, tmp_path)
    finally:
        down = make("down", home=home)
    assert down.output.startswith("stopped: ")
    assert processes_of(home) == []
    assert make("down", home=home).output == "nothing is running\n"


def check_what_is_up(made, home, port, tmp_path):
    """The login, the schedule of one DAG, and runs of the other, which is paused."""
    assert made.status == 0, made.output
    assert f"http://127.0.0.1:{port}" in made.output
    assert Home(home).password() in made.output
    assert make("up", f"PORT={port}", home=home).output.startswith("already up")
    api = AirflowApi(find_running(Home(home)).web, USER, Home(home).password())

    def scheduled(dag_id):
        runs = api.call("GET", f"/dags/{dag_id}/dagRuns?run_type=scheduled")["dag_runs"]
        return [run["state"] for run in runs]

    for dag_id in ("symbol_processing", *PARSER_TASKS):
        api.pause(dag_id, False)
    deadline = time.monotonic() + 90
    while "success" not in scheduled("symbol_processing") and time.monotonic() < deadline:
        time.sleep(1)
    assert "success" in scheduled("symbol_processing")
    check_that_the_demo_s_tasks_are_parsed_and_one_is_late(api.web, home)
    for dag_id in PARSER_TASKS:
        api.pause(dag_id, True)
    demo = Demo(find_running(Home(home)).demos["demo-api"])
    due = api.find_dag("csv_processing")["next_dagrun_run_after"]
    assert datetime.fromisoformat(due) < datetime.now(UTC)
    for rows in (20, 3):  # the second finds the place of the overdue run taken
        demo.behave()
        made = make("run", f"LIMIT={rows}", f"OUTPUT={tmp_path}/o.json", home=home)
        assert made.status == 0, made.output
        assert demo.stats()["calls"] == rows
    assert scheduled("csv_processing") == []
    assert api.unfinished_runs("csv_processing") == []
    assert api.find_dag("csv_processing")["is_paused"]
    check_that_a_run_under_way_is_dropped(api)


def check_that_the_demo_s_tasks_are_parsed_and_one_is_late(web, home):
    """By the schedule of their DAGs, with the demo's broker, sources and workers."""
    with httpx.Client(base_url=web, timeout=60, trust_env=False) as client:
        login = {"username": USER, "password": Home(home).password()}
        token = client.post("/auth/token", json=login).json()["access_token"]
        found, deadline = set(), time.monotonic() + 120
        while not found >= RESULTS and time.monotonic() < deadline:
            time.sleep(1)
            answer = client.get("/headrace/parser-manager/api/v1/task/", headers={"Authorization": f"Bearer {token}"})
            found = {(task["source_name"], task["status"], task["reason"]) for task in answer.json()["items"]}
    assert found >= RESULTS


def check_that_a_run_under_way_is_dropped(api):
    """As `make run` does with one of the schedule that became due meanwhile."""
    dag_id = "csv_processing"
    run_id = api.trigger(dag_id, {"rate_limit": "1/hour"})
    api.pause(dag_id, False)
    while "running" not in {task.state for task in api.task_states(dag_id, run_id)}:
        time.sleep(0.1)
    api.pause(dag_id, True)
    api.drop_run(dag_id, run_id)
    assert api.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}").status_code == 404


def test_a_port_in_use_is_an_error_that_names_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        made = make("up", f"PORT={port}", home=tmp_path / "home")
    assert made.status != 0
    assert f"error: port {port} is in use on 127.0.0.1" in made.output


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("RATE", "fast", "RATE is `fast`; allowed is"),
        ("DAG", "csv", "DAG is `csv`; allowed is one of csv_processing, symbol_processing"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_before_anything_starts(tmp_path, variable, value, sentence):
    made = make("run", f"{variable}={value}", home=tmp_path / "home")
    assert made.status != 0
    assert f"error: {sentence}" in made.output
    assert not (tmp_path / "home" / "running.json").exists()


def test_make_alone_lists_the_targets(tmp_path):
    made = make(home=tmp_path)
    assert all(target in made.output for target in ("help", "run", "up", "down", "test", "check", "migrate", "bench"))
