"""What a person types: `make run` on a machine where nothing runs, `make up`, `make down`."""

import json
import os
import signal
import socket
import subprocess
import time

import psutil
import pytest

from include.launch.embedded.environment import USER, Home
from include.launch.embedded.processes import find_running, free_port
from include.orchestration.rest import AirflowApi
from tests.e2e.conftest import PROJECT, make

pytest_plugins = ["tests.s3"]


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


def test_make_run_that_is_killed_stops_what_it_started(home, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("id\n1\n2\n")
    environment = {**os.environ, "CSV": str(source), "OUTPUT": str(tmp_path / "o.json"), "RATE": "1/hour"}
    command = [str(PROJECT / ".venv/bin/python"), "-m", "include.launch.embedded", "--home", str(home), "run"]
    running = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)
    for line in running.stdout:
        if "1/hour" in line or "rows" in line:
            break
    running.send_signal(signal.SIGTERM)
    running.stdout.read()
    assert running.wait(60) != 0
    assert processes_of(home) == []


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


def test_make_up_says_how_to_get_in_and_runs_the_schedule_and_make_down_stops_it_all(home):
    port = free_port()
    made = make("up", f"PORT={port}", home=home)
    assert made.status == 0, made.output
    assert f"http://127.0.0.1:{port}" in made.output
    assert Home(home).password() in made.output
    assert make("up", f"PORT={port}", home=home).output.startswith("already up")
    api = AirflowApi(find_running(Home(home)).web, USER, Home(home).password())

    def scheduled():
        runs = api.call("GET", "/dags/csv_processing/dagRuns?run_type=scheduled")["dag_runs"]
        return [run["state"] for run in runs]

    deadline = time.monotonic() + 90
    while "success" not in scheduled() and time.monotonic() < deadline:
        time.sleep(1)
    assert "success" in scheduled()
    assert make("down", home=home).output.startswith("stopped: ")
    assert processes_of(home) == []
    assert make("down", home=home).output == "nothing is running\n"


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
