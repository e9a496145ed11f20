"""The parts of the embedded Airflow that need none to be tested; the whole is tested end to end."""

import io
import json
import sys
import types
from dataclasses import asdict

import psutil
import pytest

from include.common.errors import ConfigError, HeadraceError
from include.launch.embedded import commands, processes, service
from include.launch.embedded.environment import METADATA, Home, airflow_environment, of_api_server, user_environment
from include.launch.embedded.processes import Running, Started
from include.launch.progress import Progress, at_work
from include.launch.run_request import read_request
from include.orchestration import systems
from include.orchestration.pools import POOLS
from include.orchestration.rest import TaskState
from include.orchestration.runner import Standing
from include.orchestration.systems import Demo, System


def started(process, shift=0.0):
    return Started("sleeper", process.pid, psutil.Process(process.pid).create_time() + shift)


def test_the_files_with_secrets_are_their_owners_only(home):
    home.secrets()
    assert [(home.path / name).stat().st_mode & 0o777 for name in ("passwords.json", "secrets.json")] == [0o600] * 2


def test_secrets_and_password_are_made_once(home):
    first = (home.secrets(), home.password())
    home.create()
    assert (Home(home.path).secrets(), Home(home.path).password()) == first
    assert all(len(secret) > 30 for secret in first[0].values())


def test_an_api_server_waits_shorter_for_another_writer_than_a_scheduler_may(home):
    environment = airflow_environment(home, 1, {}, schedule=True)
    assert environment[METADATA] == f"sqlite:///{home.path}/airflow.db?timeout=30.0"
    its_own = of_api_server(home, environment)
    assert its_own[METADATA] == f"sqlite:///{home.path}/airflow.db?timeout=5.0"
    assert {**its_own, METADATA: ""} == {**environment, METADATA: ""}


def test_the_environment_wins_over_the_defaults_but_an_empty_variable_does_not(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__WORKERS", "")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "3")
    found = user_environment()
    assert (found["AIRFLOW__API__WORKERS"], found["AIRFLOW__CORE__PARALLELISM"]) == ("1", "3")


def test_an_airflow_for_one_run_starts_no_scheduled_runs(home):
    assert airflow_environment(home, 1, {}, schedule=False)["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] == "False"
    assert airflow_environment(home, 1, {}, schedule=True)["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] == "True"


def test_the_callers_own_bundles_stand_beside_this_one(home, monkeypatch):
    own = {"name": "mine", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {"path": "/m"}}
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([own]))
    found = json.loads(airflow_environment(home, 1, {}, True)["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert [bundle["name"] for bundle in found] == ["headrace", "mine"]
    assert found[1] == own


@pytest.mark.parametrize("text", ["[", '{"name": "mine"}'])
def test_bundles_that_airflow_could_not_read_are_an_error_that_names_the_setting(home, monkeypatch, text):
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", text)
    with pytest.raises(ConfigError, match=r"^AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST is `.*allowed is a JSON"):
        airflow_environment(home, 1, {}, True)


def test_a_process_is_ours_only_with_its_start_time(sleeper):
    assert started(sleeper).process() is not None
    assert started(sleeper, shift=-100).process() is None


def test_stop_ends_what_is_ours_and_leaves_a_process_that_took_the_same_id(home, sleeper):
    running = Running(8080, lasting=True, processes=[started(sleeper, shift=-100)])
    running.save(home)
    assert processes.stop(home, running) == []
    assert sleeper.poll() is None
    assert processes.stop(home, Running(8080, lasting=True, processes=[started(sleeper)])) == ["sleeper"]
    assert not psutil.pid_exists(sleeper.pid) or psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE


def test_what_runs_is_found_again_from_its_file(home, sleeper):
    running = Running(8080, lasting=True, demos={"demo-api": "http://127.0.0.1:1"}, processes=[started(sleeper)])
    running.save(home)
    assert processes.find_running(home) == running


def test_what_an_older_version_left_running_is_found(home, sleeper):
    running = Running(8080, lasting=True, processes=[started(sleeper)])
    running.save(home)
    state = home.path / "running.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "demo_port": 1}))
    assert processes.find_running(home) == running


def test_a_file_of_processes_that_are_gone_is_nothing_running(home):
    Running(8080, lasting=True, processes=[Started("gone", 1, 0.0)]).save(home)
    assert processes.find_running(home) is None


def test_a_broken_file_of_what_runs_is_an_error_with_its_path(home):
    (home.path / "running.json").write_text("{")
    with pytest.raises(ConfigError, match=r"running\.json` is not readable"):
        processes.find_running(home)


def test_two_starts_at_once_are_refused(home):
    with (
        processes.alone(home, "make up"),
        pytest.raises(HeadraceError, match=r"`make up` \(process \d+\) is at work in"),
        processes.alone(home, "make run"),
    ):
        pass


def test_a_process_that_died_is_told_with_the_end_of_its_log(home):
    (home.logs / "gone.log").write_text("first\nlast words\n")
    with pytest.raises(HeadraceError, match="Airflow's gone has ended; its log ends with\nfirst\nlast words"):
        processes.check_alive(home, Running(1, lasting=False, processes=[Started("gone", 1, 0.0)]))


def test_a_demo_that_died_is_told_by_its_own_name(home):
    running = Running(1, lasting=False, demos={"demo-api": "x"}, processes=[Started("demo-api", 1, 0.0)])
    with pytest.raises(HeadraceError, match=r"^demo-api has ended"):
        processes.check_alive(home, running)


class Airflow:
    """Takes the place of Airflow's API: what it parsed when, and which files did not import; counts what is asked."""

    def __init__(self, parsed, errors=()):
        self.parsed, self.errors, self.asked = parsed, list(errors), []

    def find_dag(self, dag_id):
        self.asked.append(dag_id)
        return {"last_parsed_time": self.parsed[dag_id]} if dag_id in self.parsed else None

    def import_errors(self, since):
        return self.errors


@pytest.fixture
def waiting(home, sleeper, monkeypatch):
    """Waits for the DAGs `x_1`, `x_2` and `x_3`, which one file makes, of an Airflow that `sleeper` stands for."""
    many = System("x", "X", {"x.py": lambda: ["x_1", "x_2", "x_3"]})
    monkeypatch.setattr(systems, "SYSTEMS", (many,))
    monkeypatch.setattr(service, "POLL_SECONDS", 0)
    monkeypatch.setattr(service, "START_SECONDS", 0.01)

    def wait(airflow):
        monkeypatch.setattr(service, "AirflowApi", lambda *_: airflow)
        service.wait_for_dags(home, Running(1, lasting=True, processes=[started(sleeper)]))

    return wait


NOW = "2100-01-01T00:00:00+00:00"


def test_every_dag_of_a_file_that_makes_many_is_waited_for_and_asked_for_once(waiting):
    airflow = Airflow({"x_1": NOW, "x_2": NOW, "x_3": NOW})
    waiting(airflow)
    assert airflow.asked == ["x_1", "x_2", "x_3"]


def test_the_dags_that_are_missing_at_the_end_are_named(waiting):
    airflow = Airflow({"x_1": NOW, "x_2": "2000-01-01T00:00:00+00:00", "x_3": NOW})
    with pytest.raises(HeadraceError, match=r"the DAGs x_2, x_3 were not parsed within 0\.01 s"):
        waiting(airflow)


def test_a_dag_file_that_does_not_import_is_said_at_once(waiting):
    airflow = Airflow({}, ["x.py: NameError: y"])
    with pytest.raises(ConfigError, match=r"^DAG files that do not import:\n  x\.py: NameError: y"):
        waiting(airflow)
    assert airflow.asked == []


@pytest.fixture
def started_processes(monkeypatch, tmp_path):
    """What `start` starts, name -> (command, environment), without anything being started."""
    found = {}

    def start(home, running, name, command, environment):
        found[name] = (command, environment)

    monkeypatch.setattr(processes, "start", start)
    monkeypatch.setattr(processes, "prepare", lambda *_, **__: None)
    monkeypatch.setattr(service, "_wait", lambda *_: None)
    monkeypatch.setattr(service.AirflowApi, "prepare_for_tasks", lambda _: None)
    return found


@pytest.fixture
def unfilled(monkeypatch):
    """No system puts anything into the database, which is not migrated here."""
    monkeypatch.setattr(service, "_fill", lambda *_: None)


@pytest.mark.usefixtures("unfilled")
def test_make_up_with_an_address_for_one_dag_starts_the_demo_for_the_other(home, started_processes, monkeypatch):
    monkeypatch.setenv("API_URL", "https://api.example.com")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example.com:9092")
    running = service.start(home, 1)
    command, environment = started_processes["demo-api"]
    assert running.demos == {"demo-api": environment["HEADRACE_DEMO_API"]}
    assert environment["HEADRACE_DEMO_API"].endswith(":" + command[-1])
    assert {"api-server", "scheduler", "dag-processor", "triggerer"} < set(started_processes)


@pytest.mark.usefixtures("unfilled", "started_processes")
def test_a_start_brings_a_new_database_with_its_dictionaries(home, monkeypatch):
    told = []
    monkeypatch.setattr(processes, "prepare", lambda *_, **given: told.append(given))
    service.start(home, 1)
    service.start(home, 1, "csv_processing")
    assert told == [{"again": True, "data": True}, {"again": False, "data": True}]


@pytest.mark.usefixtures("unfilled")
def test_make_up_with_an_address_for_each_dag_starts_no_demo(home, started_processes, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CSV_API", "https://api.example.com")
    monkeypatch.setenv("AIRFLOW_CONN_SYMBOL_API", "https://api.example.com")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example.com:9092")
    assert service.start(home, 1).demos == {}
    assert set(started_processes) == {"api-server", "scheduler", "dag-processor", "triggerer"}
    assert not [name for name in started_processes["scheduler"][1] if name.startswith("HEADRACE_DEMO")]


@pytest.fixture
def toys(monkeypatch):
    """A system with a demo that has an address, one that works with it, and a module that shows both."""
    told = []
    module = types.ModuleType("toys_fill")
    module.fill = lambda environment, demos: told.append((environment.get("TOYS_DEMO"), list(demos)))
    monkeypatch.setitem(sys.modules, "toys_fill", module)
    given = {"toys": ("TOYS_URL",)}
    demos = (
        Demo("demo-toys", ("toys", "{port}"), "TOYS_DEMO", given, url="127.0.0.1:{port}"),
        Demo("demo-child", ("child",), "", given, environment={"TOYS": "at {TOYS_DEMO}", "TOKEN": "demo"}),
    )
    system = System(name="toys", title="Toys", dags={"toys.py": ("toys",)}, demos=demos, fill="toys_fill")
    monkeypatch.setattr(systems, "SYSTEMS", (system,))
    return told


def test_a_demo_without_an_address_finds_those_of_the_others_in_its_environment(home, started_processes, toys):
    running = service.start(home, 1)
    command, environment = started_processes["demo-child"]
    assert command == ["child"]
    assert running.demos == {"demo-toys": environment["TOYS_DEMO"], "demo-child": ""}
    assert (environment["TOYS"], environment["TOKEN"]) == (f"at {environment['TOYS_DEMO']}", "demo")
    assert "TOKEN" not in started_processes["demo-toys"][1].keys() | started_processes["scheduler"][1].keys()
    assert "" not in environment
    assert toys == [(environment["TOYS_DEMO"], ["demo-toys", "demo-child"])]


def test_what_demos_show_is_taken_away_where_none_is_started_and_left_alone_by_a_run(
    home, started_processes, toys, monkeypatch
):
    monkeypatch.setenv("TOYS_URL", "https://toys.example.com")
    service.start(home, 1)
    assert toys == [(None, [])]
    monkeypatch.delenv("TOYS_URL")
    service.start(home, 1, "toys")
    assert len(toys) == 1


@pytest.mark.usefixtures("unfilled")
def test_what_is_set_otherwise_than_at_the_start_is_known_without_keeping_it(home, started_processes, monkeypatch):
    monkeypatch.setenv("BOT_TOKEN", "1:secret")
    monkeypatch.setenv("API_URL", "https://api.example.com")
    running = service.start(home, 1)
    assert service.changed_since(running) == []
    monkeypatch.setenv("BOT_TOKEN", "2:secret")
    monkeypatch.setenv("AIRFLOW_CONN_SYMBOL_API", "https://api.example.com")
    monkeypatch.delenv("API_URL")
    assert service.changed_since(running) == ["AIRFLOW_CONN_SYMBOL_API", "BOT_TOKEN"]
    assert "secret" not in json.dumps(asdict(running))


def test_only_what_was_asked_for_goes_into_the_conf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_request("csv_processing", {"CSV": "", "PATH": "/bin"}, commands.place).given == {}
    given = {"CSV": "ä b.csv", "LIMIT": "5", "RATE": "none", "DRY_RUN": "1"}
    assert read_request("csv_processing", given, commands.place).given == {
        "source": str(tmp_path / "ä b.csv"),
        "limit": 5,
        "rate_limit": "none",
        "dry_run": True,
    }


def test_the_tasks_at_work_are_counted():
    states = [("plan", "success"), ("call", "running"), ("call", "running"), ("call", "up_for_retry")]
    tasks = [TaskState(name, index, state) for index, (name, state) in enumerate(states)]
    assert at_work(tasks) == "call 2 running, call 1 waiting for a retry"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar():
    output = Terminal()
    progress = Progress(output)
    progress.show(Standing(3, 4), "call 1 running")
    progress.end()
    assert "3/4" in output.getvalue()
    assert "call 1 running" in output.getvalue()


def test_the_pools_file_is_what_airflow_imports():
    pools = json.loads(POOLS.read_text())
    assert all({"slots", "description", "include_deferred"} <= set(pool) for pool in pools.values())
