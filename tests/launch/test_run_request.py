"""What every way of starting a run makes of the parameters, which are declared in one place."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dags.csv_processing import PIPELINE
from include.common.errors import ConfigError
from include.enrichment.parameters import MAIN, PARAMETERS
from include.launch.run_request import read_request, usage
from include.launch.stack import trigger
from include.orchestration import systems
from include.orchestration.enrichment.form import params
from include.orchestration.systems import System
from tests.stand_ins.toys import ToyRun

PROJECT = Path(__file__).resolve().parents[2]
VARIABLES = [parameter.variable for parameter in PARAMETERS]


# Says that the api-server runs, and ends each `exec` with the next status of $STATUSES, a file of one a line.
DOCKER = """#!/bin/bash
printf '%s\\n' "$@" >>"$RECORD"
case " $* " in
  *" ps "*) echo c0ffee ;;
  *" exec "*) status=$(head -n 1 "$STATUSES"); sed -i 1d "$STATUSES"; exit "${status:-0}" ;;
esac
"""


@pytest.fixture
def recording_docker(tmp_path, monkeypatch):
    """A `docker` that writes down what it is called with; returns that file."""
    record = tmp_path / "docker"
    record.write_text(DOCKER)
    record.chmod(0o755)
    (tmp_path / "local").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    (tmp_path / "statuses").touch()
    monkeypatch.setenv("STATUSES", str(tmp_path / "statuses"))
    monkeypatch.setenv("ENV_LOCAL", str(tmp_path / "local"))
    return tmp_path / "record"


def make(*arguments, succeeds=True, project=PROJECT):
    command = ["make", "--no-print-directory", *arguments]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (ended.returncode == 0) == succeeds, ended.stderr
    return ended.stdout if succeeds else ended.stdout + ended.stderr


@pytest.mark.parametrize("parameter", PARAMETERS, ids=VARIABLES)
def test_each_parameter_is_in_the_form_for_people(parameter):
    shown = params(PIPELINE)[parameter.name].schema
    assert shown["title"] != parameter.name
    assert shown["section"] == parameter.section
    assert shown["type"] == parameter.schema()["type"]


def test_the_sections_of_the_form_stand_together_and_the_open_one_is_first():
    sections = [param.schema["section"] for param in params(PIPELINE).values()]
    assert list(dict.fromkeys(sections)) == [
        name for name, before in zip(sections, [None, *sections], strict=False) if name != before
    ]
    assert sections[0] == MAIN


def test_each_parameter_is_told_by_make_and_by_the_command_line():
    told = make("help").splitlines()[-1]
    assert re.findall(r"\w+(?==)", told) == ["DAG", *VARIABLES]
    assert [line.split()[0] for line in usage().splitlines() if line[0] != " "] == VARIABLES


def test_make_trigger_hands_on_each_parameter_as_it_was_written(recording_docker):
    given = {name: f"https://x/$HOME and 'a' \"{number}\"" for number, name in enumerate(VARIABLES)}
    make("trigger", *(f"{name}={text}" for name, text in given.items()))
    words = recording_docker.read_text().splitlines()
    assert {f"TRIGGER_{name}={text}" for name, text in given.items()} <= set(words)
    assert {"TRIGGER_DAG=", "TRIGGER_WAIT="} <= set(words)


def test_make_trigger_without_values_asks_for_the_dags_own(recording_docker, monkeypatch):
    make("trigger")
    passed = [line for line in recording_docker.read_text().splitlines() if line.startswith(trigger.GIVEN)]
    given = {name.removeprefix(trigger.GIVEN): text for name, _, text in (line.partition("=") for line in passed)}
    assert given["RUN_ID"].startswith("manual__20")
    assert read_request("csv_processing", given, trigger.place).given == {}


def test_make_trigger_finds_its_run_again_where_the_container_that_follows_it_goes(recording_docker):
    recording_docker.with_name("statuses").write_text("137\n143\n0\n")
    told = make("trigger", "WAIT=1")
    assert told.splitlines() == ["the api-server is away; the run goes on; waiting up to 7 min"] * 2
    words = recording_docker.read_text().splitlines()
    assert words.count("exec") == 3
    assert words.count("TRIGGER_STARTED=1") == 2
    assert len({word for word in words if word.startswith("TRIGGER_RUN_ID=")}) == 1


def test_make_trigger_ends_as_the_run_does(recording_docker):
    recording_docker.with_name("statuses").write_text(f"{trigger.FAILED}\n")
    assert f"Error {trigger.FAILED}" in make("trigger", "WAIT=1", succeeds=False)
    assert recording_docker.read_text().splitlines().count("exec") == 1


TOY_PARAMETERS = """
    Parameter(
        name="plan",
        variable="PLAN",
        kind=INPUT,
    ),
    Parameter(
        name="rate",
        variable="RATE",
        kind=RATE,
    ),
"""


@pytest.fixture
def two_systems(tmp_path):
    """What make and deploy/stack.sh need of a project with another system, which has a file and a rate."""
    project = tmp_path / "project"
    for name in ("Makefile", ".env", "docker-compose.yaml", "include/enrichment/parameters.py"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, project / name)
    shutil.copytree(PROJECT / "deploy", project / "deploy")
    (project / "include/toys").mkdir()
    (project / "include/toys/parameters.py").write_text(TOY_PARAMETERS)
    return project


def test_the_variables_of_every_system_are_told_once_and_handed_on(recording_docker, two_systems):
    told = make("help", project=two_systems).splitlines()[-1]
    assert re.findall(r"\w+(?==)", told) == ["DAG", *VARIABLES, "PLAN"]
    plan = two_systems / "a plan.txt"
    plan.touch()
    make("trigger", "DAG=toy", f"PLAN={plan}", "CSV=s3://bucket/in.csv", project=two_systems)
    words = recording_docker.read_text().splitlines()
    assert {"TRIGGER_DAG=toy", f"TRIGGER_PLAN={plan}", "TRIGGER_CSV=s3://bucket/in.csv", "TRIGGER_RATE="} <= set(words)


def test_a_file_of_this_host_is_sent_along_and_no_second_one(recording_docker, two_systems):
    (two_systems / "a.csv").touch()
    refused = make("trigger", "PLAN=none.txt", succeeds=False, project=two_systems)
    assert "error: PLAN is `none.txt`: no file that can be read\n" in refused
    refused = make("trigger", "PLAN=a.csv", "CSV=a.csv", succeeds=False, project=two_systems)
    assert "error: CSV and PLAN are both files of this host; one of them can be sent along\n" in refused
    assert not recording_docker.exists()


def test_make_trigger_without_wait_leaves_what_docker_says(recording_docker):
    recording_docker.with_name("statuses").write_text("137\n")
    make("trigger", succeeds=False)
    assert recording_docker.read_text().splitlines().count("exec") == 1


def test_a_file_is_only_taken_once_every_other_value_can_be_meant():
    def place(parameter, text):
        raise AssertionError(f"{parameter.variable} was taken")

    with pytest.raises(Exception, match="LIMIT is `no`"):
        read_request("csv_processing", {"CSV": "a.csv", "LIMIT": "no"}, place)


def test_what_the_dag_takes_from_its_own_environment_alike_stands_not_in_the_conf():
    given = {"API_URL": "https://api.example.com?key=k", "LIMIT": "3"}
    request = read_request("csv_processing", given, trigger.place)
    assert request.conf(taken={"API_URL", "BOT_TOKEN"}) == {"limit": 3}
    assert request.conf() == {"api_url": "https://api.example.com?key=k", "limit": 3}
    assert request.variables() == {"API_URL", "LIMIT"}


@pytest.fixture
def toys(monkeypatch):
    """Two more systems: DAGs of one can be run from here, those of the other not."""
    run = System(name="toys", title="Toys", dags={"toys.py": ("toy",)}, runner="tests.stand_ins.toys")
    shown = System(name="shown", title="Shown", dags={"shown.py": ("shown_only",)}, runner="")
    monkeypatch.setattr(systems, "SYSTEMS", (*systems.SYSTEMS, run, shown))


@pytest.mark.usefixtures("toys")
def test_a_dag_of_another_system_is_given_that_systems_parameters_and_followed_by_it(tmp_path):
    request = read_request("toy", {"SIZE": "3", "PLAN": "a.txt", "CSV": "in.csv"}, lambda _, text: f"/there/{text}")
    assert request.given == {"size": 3, "plan": "/there/a.txt"}
    followed = request.run(tmp_path, "r")
    assert isinstance(followed, ToyRun)
    assert (followed.dag_id, followed.run_id, followed.given) == ("toy", "r", request.given)
    assert [line.split()[0] for line in usage().splitlines() if line[0] != " "] == [*VARIABLES, "SIZE", "PLAN"]


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("dag_id", "why"), [("shown_only", ", which `make run` and `make trigger` do not start"), ("other", "")]
)
def test_a_dag_that_is_not_run_from_here_is_refused_with_those_that_are(dag_id, why):
    sentence = f"^DAG is `{dag_id}`{why}; allowed is one of csv_processing, symbol_processing, toy$"
    with pytest.raises(ConfigError, match=sentence):
        read_request(dag_id, {}, trigger.place)
