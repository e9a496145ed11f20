"""The compose file itself: clean for every profile, safe without secrets, and a second `up` that changes nothing."""

import itertools
import json
import os
import re
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from tests.stack.conftest import PROJECT, run
from tests.stack.runs import docker, start, wait_for_calls

PROFILES = ("demo", "flower", "kafka", "monitoring")
SECRETS = {"PASSWORD", "KEY", "SECRET", "TOKEN"}


@pytest.mark.parametrize(
    "profiles", [",".join(chosen) for n in range(len(PROFILES) + 1) for chosen in itertools.combinations(PROFILES, n)]
)
def test_the_file_is_clean_for_every_combination_of_profiles(stack, profiles):
    assert stack.compose("config", "--quiet", COMPOSE_FILE="docker-compose.yaml", COMPOSE_PROFILES=profiles) == ""


def test_every_service_has_limits_a_rotated_log_and_a_health_check(stack):
    found = json.loads(
        stack.compose("--profile", "*", "config", "--format", "json", COMPOSE_FILE="docker-compose.yaml")
    )
    for name, service in found["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) > 0, name
        assert limits["pids"] == 1000, name
        assert service["logging"]["options"]["max-size"], name
        once = service.get("restart") == "no"  # does its work and ends
        assert once or service["restart"] == "unless-stopped", name
        assert once or service["healthcheck"]["test"], name
        for dependency in service.get("depends_on", {}).values():
            assert dependency["condition"] in ("service_healthy", "service_completed_successfully"), name


def test_without_secrets_nothing_starts_and_the_first_one_missing_is_named():
    bare = {name: value for name, value in os.environ.items() if name != "COMPOSE_FILE"}
    ended = subprocess.run(
        ["docker", "compose", "--project-name", "headrace-bare", "up", "--no-build"],
        cwd=PROJECT,
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert "is missing a value: run make stack-up" in ended.stderr
    assert docker("ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project=headrace-bare") == ""


@pytest.mark.parametrize(
    ("replicas", "command"),
    [("1", ["make", "stack-up"]), ("0", ["deploy/stack.sh", "compose", "up", "--detach", "--wait"])],
    ids=["make stack-up", "compose alone, databases elsewhere"],
)
def test_a_default_secret_stops_the_stack_before_the_database_is_made_with_it(stack, tmp_path, replicas, command):
    weak = tmp_path / "env.local"
    weak.write_text(stack.env_local.read_text() + "\nREDIS_PASSWORD=changeme\nVIEWER_PASSWORD=\n")
    project = {"COMPOSE_PROJECT_NAME": "headrace-weak", "ENV_LOCAL": str(weak), "COMPOSE_PROFILES": ""}
    project = {**stack.environment, **project, "POSTGRES_REPLICAS": replicas, "REDIS_REPLICAS": replicas}
    try:
        empty = run(command, **project)
        assert empty.status != 0
        assert "VIEWER_PASSWORD is missing a value: run make stack-up" in empty.output
        weak.write_text(stack.env_local.read_text() + "\nREDIS_PASSWORD=changeme\n")
        default = run(command, **project)
        assert default.status != 0
        said = default.output + run(["deploy/stack.sh", "logs"], **project).output
        assert "error: REDIS_PASSWORD is a well-known default" in said
        assert "changeme" not in said
        label = "label=com.docker.compose.project=headrace-weak"
        started = docker("ps", "--all", "--filter", label, "--format", "{{.Names}} {{.State}}")
        assert {line for line in started.splitlines() if not line.endswith(" created")} == (
            set() if command[0] == "make" else {"headrace-weak-preflight-1 exited"}
        )
    finally:
        run(["deploy/stack.sh", "down", "--volumes"], **project)


def test_the_secrets_are_written_once_for_their_owner_only(stack):
    assert f"wrote secrets to {stack.env_local}" in stack.first_up
    assert f"Headrace is up: {stack.web}" in stack.first_up
    before = stack.env_local.read_text()
    assert not any(line.partition("=")[2] in stack.first_up for line in before.splitlines() if "PASSWORD=" in line)
    assert stat.S_IMODE(stack.env_local.stat().st_mode) == 0o600
    values = [
        line.partition("=")[2] for line in before.splitlines() if line.partition("=")[0].split("_")[-1] in SECRETS
    ]
    assert len(values) == len(set(values)) == 11
    assert all(len(value) >= 20 for value in values)
    tracked = subprocess.run(["git", "check-ignore", ".env.local"], cwd=PROJECT, check=False, capture_output=True)
    assert tracked.returncode == 0


def test_lost_secrets_of_an_existing_database_are_not_made_anew(stack, tmp_path):
    made = stack.make("stack-up", ENV_LOCAL=str(tmp_path / "gone"))
    assert made.status != 0
    assert "but a database of an earlier stack, which only its passwords open" in made.output
    assert not (tmp_path / "gone").exists()


def snapshot(stack):
    """Every container with the time it was started, one-shot ones without it."""
    ids = stack.compose("ps", "--all", "--quiet").split()
    found = json.loads(docker("inspect", *ids))
    once = ("preflight", "init")
    return {
        each["Name"]: (each["Id"], "" if each["Name"].split("-")[-2] in once else each["State"]["StartedAt"])
        for each in found
    }


def test_a_second_up_changes_nothing(stack):
    assert stack.make("stack-up").status == 0
    before = snapshot(stack)
    assert len(before) >= 10
    assert stack.make("stack-up").status == 0
    assert snapshot(stack) == before


def with_settings(stack, tmp_path, text):
    """The stack's settings with more of them."""
    path = tmp_path / "env.local"
    path.write_text(f"{stack.env_local.read_text()}\n{text}\n")
    return {"ENV_LOCAL": str(path)}


def test_settings_that_cannot_work_leave_what_runs_as_it_is(stack, tmp_path):
    before = snapshot(stack)
    wrong = "AIRFLOW_CONN_CSV_API=nonsense\nHEADRACE_POOLS=/home/me/pools.json\nPARALLELISM=many"
    made = stack.make("stack-up", **with_settings(stack, tmp_path, wrong))
    assert made.status != 0
    for sentence in (
        "error: AIRFLOW_CONN_CSV_API is no connection; allowed is a URI",
        "error: the pools file `/home/me/pools.json` (HEADRACE_POOLS) cannot be read",
        "error: PARALLELISM is `many`; allowed is",
        "error: the settings are refused; nothing was started or changed",
    ):
        assert sentence in made.output
    assert snapshot(stack) == before


@pytest.mark.parametrize(
    ("setting", "services"),
    [
        ("VIEWER_PASSWORD=kqz81-kqz82-kqz83-kqz84", {"api-server"}),
        ("HEADRACE_METRICS_TOKEN=kqz81-kqz82-kqz83-kqz84", {"api-server", "prometheus"}),
        ("HEADRACE_TASK_MEMORY=900m", {"worker"}),
        ("WORKER_MEMORY=3g", {"worker"}),
    ],
)
def test_a_changed_setting_makes_only_those_containers_anew_that_use_it(stack, tmp_path, setting, services):
    def configured(**environment):
        lines = stack.compose("--profile", "*", "config", "--hash", "*", **environment).splitlines()
        return dict(line.split() for line in lines)

    # The same file twice: its path is part of what Compose compares.
    before = configured(**with_settings(stack, tmp_path, ""))
    after = configured(**with_settings(stack, tmp_path, setting))
    assert {name for name in before if before[name] != after[name]} - {"preflight"} == services


def test_down_and_up_keep_history_and_data_and_a_run_goes_on(stack):
    """A run in the middle of its calls: those under way are finished, and none of its rows is called twice."""
    run_id = start(stack, 3, "kept")
    assert stack.wait_for_end("csv_processing", run_id) == "success"
    output, report = stack.read("kept.json"), stack.report("csv_processing", run_id)
    stack.demo.behave(latency=0.5)
    cut = start(stack, 60, "cut")
    wait_for_calls(stack, 10)
    with ThreadPoolExecutor() as pool:
        down = pool.submit(stack.make, "stack-down")
        before = last_counts(stack, until=down.done)
    assert down.result().status == 0
    assert stack.compose("ps", "--all", "--quiet") == ""
    assert (before["in_flight"], 10 <= before["calls"] < 60) == (0, True)
    assert stack.make("stack-up").status == 0
    assert stack.api().run_state("csv_processing", run_id) == "success"
    assert (stack.read("kept.json"), stack.report("csv_processing", run_id)) == (output, report)
    assert "3 calls to" in stack.log("csv_processing", run_id, "plan")
    assert stack.wait_for_end("csv_processing", cut) == "success"
    assert stack.report("csv_processing", cut)["counts"] == {"rows": 60, "ok": 60, "failed": 0, "skipped": 0}
    assert before["calls"] + stack.demo.stats(keys=0)["calls"] == 60
    assert {task["try_number"] for task in stack.tasks("csv_processing", cut)} == {1}


def last_counts(stack, until):
    """What the demo API has counted by the time it goes away."""
    counts = {}
    while not until():
        with suppress(httpx.HTTPError):
            counts = stack.demo.stats(keys=0)
        time.sleep(0.05)
    return counts


def test_a_backup_goes_into_new_databases_without_an_error(stack):
    page = (PROJECT / "docs/deployment.md").read_text("utf-8")
    (restore,) = re.findall(r"(pg_restore .*) --dbname \$name", page)
    script = f"""
        createdb -U postgres restored
        psql -U postgres -d restored -qc 'CREATE SCHEMA celery'  # as databases.sh makes it
        pg_dump -U postgres --format=custom airflow | {restore} --dbname restored
        psql -U postgres -d restored -Atc "SELECT DISTINCT state FROM dag_run WHERE run_id = '$RUN_ID'"
        dropdb -U postgres restored"""
    run_id = stack.first_runs[0]["dag_run_id"]
    assert stack.exec("postgres", "env", f"RUN_ID={run_id}", "sh", "-ec", script) == "success\n"
