"""A system that is added to the list, with its own files and nothing else, is made room for by make."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager

import httpx
import psutil
import pytest
import sqlalchemy

from include.launch.embedded.environment import USER, Home
from include.launch.embedded.processes import find_running, free_port
from include.orchestration.rest import AirflowApi
from tests.e2e.conftest import PROJECT, make
from tests.e2e.test_make import processes_of, until

TOYS = PROJECT / "tests/e2e/toys"
# The packages are installed; those of a copy are not to be installed anew for its files are newer.
INSTALLED = ("--old-file=.venv/installed", "--old-file=.venv/installed-dev")


@pytest.fixture
def project(tmp_path):
    """A copy of the project with a system `toys`."""
    copy = tmp_path / "project"
    for name in ("dags", "include", "plugins", "data/demo"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "requirements.txt", ".env", ".airflowignore", "data/symbols.csv"):
        shutil.copy(PROJECT / name, copy / name)
    (copy / ".venv").symlink_to(PROJECT / ".venv")
    for folder in ("include/toys", "include/orchestration/toys"):
        (copy / folder).mkdir()
    for name in ("models.py", "demo.py", "parameters.py"):
        shutil.copy(TOYS / name, copy / "include/toys" / name)
    shutil.copy(TOYS / "runner.py", copy / "include/orchestration/toys")
    shutil.copy(TOYS / "dags.py", copy / "dags/toys.py")
    with (copy / "include/orchestration/systems.py").open("a") as systems:
        systems.write((TOYS / "system.py").read_text())
    return copy


def ends(api, dag_id, **conf):
    """The state in which a run of a DAG ends."""
    run_id = api.trigger(dag_id, conf)
    while (state := api.run_state(dag_id, run_id)) not in ("success", "failed"):
        time.sleep(0.2)
    return state


@contextmanager
def run_of(project, home, dag_id, *command):
    """A run of two toys, once it is shown that the first is made; afterwards what else it tells is in its `told`."""
    run = subprocess.Popen(
        [*command, "run"],
        cwd=project,
        env={**os.environ, "HEADRACE_HOME": str(home), "DAG": dag_id, "TOYS": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    told = until(run, "1/2 toys  make_toys 1 running")
    assert "\ntoys that were asked for: 2\n" in told, told
    yield run
    run.told = run.stdout.read()
    run.wait(60)


def check_that_a_run_is_followed_and_stopped(project, home, go):
    """By the system's own runner, in its words."""
    with run_of(project, home, "toy_2", "make", "--no-print-directory", *INSTALLED) as run:
        go.touch()
    again = f"to make one more: make run TOYS=1 HEADRACE_HOME={home} DAG=toy_2\n"
    assert (run.returncode, run.told) == (0, f"toy_2: made 2, as many as were asked for\n{again}")
    go.unlink()
    with run_of(
        project, home, "toy_0", project / ".venv/bin/python", "-m", "include.launch.embedded", "--home", home
    ) as run:
        run.send_signal(signal.SIGINT)
    assert run.returncode == 1
    assert "stopped by you; the run is marked failed, the last output stays\n" in run.told
    assert "toy_0: made 1, stopped by the person who started the run\n" in run.told


def test_a_system_of_three_dags_a_table_and_a_demo_is_migrated_started_waited_for_and_stopped(project, tmp_path):
    home = tmp_path / "home"

    def target(*arguments, **environment):
        return make(*INSTALLED, *arguments, home=home, project=project, **environment)

    assert " TOYS=" in target("help").output
    made = target("migration", "SYSTEM=toys", "MESSAGE=Boxes and toys")
    assert made.status == 0, made.output
    made = target(
        "up",
        f"PORT={free_port()}",
        API_URL="https://api.example.com",  # of csv_processing; the other DAG of the CSVs has no address
        KAFKA_BOOTSTRAP_SERVERS="kafka.example.com:9092",  # of all parser tasks
        AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE="False",
        HEADRACE_STORAGE=str(tmp_path / "storage"),
    )
    try:
        assert made.status == 0, made.output
        running = find_running(Home(home))
        assert sorted(running.demos) == ["demo-api", "toys-demo"]
        api = AirflowApi(running.web, USER, Home(home).password())
        assert all(api.find_dag(f"toy_{number}")["last_parsed_time"] for number in range(3))
        check_that_a_run_is_followed_and_stopped(project, home, tmp_path / "storage/toys/go")
        assert ends(api, "symbol_processing", limit=1, rate_limit="none") == "success"
        engine = sqlalchemy.create_engine(f"sqlite:///{home / 'headrace.db'}")
        assert sqlalchemy.inspect(engine).get_foreign_keys("toys")[0]["referred_table"] == "toy_boxes"
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT id, box_id FROM toys")).all() == [(1, 1), (2, 1)]
        engine.dispose()
    finally:
        made = target("down")
    assert made.output.startswith("stopped: demo-api, toys-demo, api-server")
    assert processes_of(home) == []
    with pytest.raises(httpx.TransportError):
        httpx.get(running.demos["toys-demo"], trust_env=False)
    assert not any(psutil.pid_exists(process.pid) for process in running.processes)
