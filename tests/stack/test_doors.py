"""The doors to a run but the web UI: the schedule, Airflow's command line, `make trigger`, the REST API."""

import json
import re

import httpx
import pytest

RUN_ID = re.compile(r"run (\S+) of ")


def test_the_schedule_runs_each_dag_by_itself(stack):
    assert [(run["dag_id"], run["run_type"], run["state"]) for run in stack.first_runs] == [
        ("csv_processing", "scheduled", "success"),
        ("symbol_processing", "scheduled", "success"),
    ]
    report = stack.report("csv_processing", stack.first_runs[0]["dag_run_id"])
    assert report["counts"] == {"rows": 142, "ok": 142, "failed": 0, "skipped": 0}
    assert len(json.loads(stack.read("output.json"))) == 142
    assert len(json.loads(stack.read("results/AAPL.json"))) > 0


def test_make_trigger_follows_a_run_to_its_end(stack):
    stack.demo.behave()
    made = stack.make("trigger", LIMIT="3", OUTPUT="three rows.json", WAIT="1")
    assert made.status == 0, made.output
    assert "rows 3, ok 3, failed 0, skipped 0" in made.output
    assert "output: /srv/headrace/three rows.json" in made.output
    assert (len(json.loads(stack.read("three rows.json"))), stack.demo.stats()["calls"]) == (3, 3)


def test_make_trigger_sends_a_csv_of_the_host(stack, tmp_path):
    source = tmp_path / "stran ge ü.csv"
    source.write_text("id\n1\n2\n")
    address = "http://demo-api:8090/echo"
    made = stack.make("trigger", CSV=str(source), API_URL=address, RATE="none", OUTPUT="echo.json", WAIT="1")
    assert made.status == 0, made.output
    assert [record["key"] for record in json.loads(stack.read("echo.json"))] == ["1", "2"]


def test_make_trigger_ends_as_the_run_does(stack):
    made = stack.make("trigger", LIMIT="2", API_URL="http://demo-api:8090/nowhere", RATE="none", WAIT="1")
    assert made.status != 0
    assert "csv_processing: failed" in made.output


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("CSV", "/no/such.csv", "CSV is `/no/such.csv`: no file that can be read"),
        ("LIMIT", "many", "LIMIT is `many`; allowed is a whole number from 1"),
        ("DAG", "no_such_dag", "DAG is `no_such_dag`; allowed is one of csv_processing, symbol_processing"),
    ],
)
def test_make_trigger_says_what_cannot_be(stack, variable, value, sentence):
    made = stack.make("trigger", **{variable: value})
    assert made.status != 0
    assert f"error: {sentence}" in made.output
    assert "Traceback" not in made.output


def test_airflows_command_line_starts_a_run(stack):
    conf = json.dumps({"limit": 2, "output": "cli.json"})
    stack.exec("scheduler", "airflow", "dags", "trigger", "csv_processing", "--run-id", "by_cli", "--conf", conf)
    assert stack.wait_for_end("csv_processing", "by_cli") == "success"
    assert len(json.loads(stack.read("cli.json"))) == 2


def test_the_rest_api_starts_a_run_and_waits_for_its_end(stack):
    login = {"username": "admin", "password": stack.secret("ADMIN_PASSWORD")}
    with httpx.Client(base_url=stack.web, timeout=120, trust_env=False) as http:
        token = http.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        body = {"logical_date": None, "conf": {"limit": 2, "output": "rest.json"}}
        run_id = http.post("/api/v2/dags/csv_processing/dagRuns", json=body).raise_for_status().json()["dag_run_id"]
        waited = http.get(f"/api/v2/dags/csv_processing/dagRuns/{run_id}/wait", params={"interval": 1})
        assert json.loads(waited.raise_for_status().text.splitlines()[-1])["state"] == "success"
        refused = http.post("/api/v2/dags/csv_processing/dagRuns", json={**body, "conf": {"limit": "many"}})
    assert refused.status_code == 400
    assert len(json.loads(stack.read("rest.json"))) == 2


def test_connections_of_the_environment_are_in_airflows_database(stack):
    """The init service wrote it; the password is encrypted with the Fernet key."""
    found = stack.rest("GET", "/connections/headrace_probe")
    assert (found["conn_type"], found["host"], found["login"]) == ("http", "probe.example.com", "me")
    stored = stack.exec(
        "postgres", "psql", "-U", "postgres", "-d", "airflow", "-Atc", "select password from connection"
    )
    assert "pr0be-pass" not in stored
    assert stored.strip()


def test_the_environment_wins_over_a_connection_that_somebody_changed(stack):
    again = ("run", "--rm", "--no-deps", "init")
    assert "connections written: none" in stack.compose(*again)
    changed = {"connection_id": "headrace_probe", "conn_type": "http", "host": "elsewhere.example.com"}
    stack.rest("PATCH", "/connections/headrace_probe?update_mask=host", json=changed)
    assert "connections written: headrace_probe" in stack.compose(*again)
    found = stack.rest("GET", "/connections/headrace_probe")
    assert found["host"] == "probe.example.com"


def test_the_pools_are_those_of_the_file(stack):
    pools = stack.rest("GET", "/pools")["pools"]
    assert {pool["name"]: pool["slots"] for pool in pools if pool["name"] != "default_pool"} == {
        "csv_api": 5,
        "symbol_api": 1,
    }


def test_logs_of_a_task_are_shown(stack):
    assert "142 calls to" in stack.log("csv_processing", stack.first_runs[0]["dag_run_id"], "plan")
