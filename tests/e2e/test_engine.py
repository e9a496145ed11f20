"""What the row engine promises, on the real scheduler: no row lost or paid for twice, redrives, budgets, deadlines."""

import csv
import json
import random
import subprocess
import time

import psutil
import pytest

from include.common.names import file_name
from include.enrichment.progress import KEPT_AS
from tests.e2e.conftest import PROJECT, Made
from tests.e2e.test_runs import ended, task_instances, trigger, write_csv

KEEP_RUNS = 72


def folder_of(headrace, run_id, dag_id="csv_processing"):
    return headrace.storage / "runs" / dag_id / file_name(run_id)


def on_echo(headrace, tmp_path, rows, **conf):
    """Parameters of a run over `rows` rows against the demo API's echo, without a limit."""
    return {
        "source": write_csv(tmp_path / "in.csv", range(rows)),
        "output": str(tmp_path / "out.json"),
        "api_url": f"{headrace.demo.url}/echo",
        "rate_limit": "none",
        **conf,
    }


def clear(headrace, run_id, **choice):
    """Clear tasks of a run, as a person does in the web UI; returns the state in which the run ends then."""
    body = {"dag_run_id": run_id, "dry_run": False, "include_downstream": True, "only_failed": False, **choice}
    headrace.api.call("POST", "/dags/csv_processing/clearTaskInstances", json=body)
    return ended(headrace, "csv_processing", run_id)


def callers(headrace):
    """The processes that have a segment open: those that call the API at this moment."""
    found = []
    for process in psutil.process_iter():
        try:
            paths = [opened.path for opened in process.open_files()]
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if any(path.startswith(str(headrace.storage)) and "/segments/" in path for path in paths):
            found.append(process)
    return found


@pytest.fixture
def pool(headrace):
    """Sets the slots of the pool `csv_api` as the web UI does; they are afterwards as they were."""

    def pool(slots):
        body = {"pool": "csv_api", "slots": slots, "include_deferred": False}
        headrace.api.call("PATCH", "/pools/csv_api", json=body)

    yield pool
    pool(5)


def slots_of(headrace, run_id):
    found = [task["pool_slots"] for task in task_instances(headrace, run_id, "quick") if task["task_id"] == "call_api"]
    return sorted(found)


@pytest.mark.parametrize(("slots", "tasks"), [(3, [1] * 3), (20, [4] * 5), (60, [30] * 2)])
def test_a_pool_that_is_changed_in_airflow_counts_from_the_next_run_on(headrace, pool, tmp_path, slots, tasks):
    headrace.demo.behave(latency=0.1)
    pool(slots)
    run_id = headrace.api.trigger("quick", on_echo(headrace, tmp_path, 30 * slots))
    assert ended(headrace, "quick", run_id) == "success"
    stats = headrace.demo.stats(keys=0)
    assert (stats["calls"], stats["peak"]) == (30 * slots, slots)
    assert slots_of(headrace, run_id) == tasks


def test_tasks_that_are_cleared_keep_their_slots_though_the_pool_has_changed(headrace, pool, tmp_path):
    pool(20)
    run_id = headrace.api.trigger("quick", on_echo(headrace, tmp_path, 100))
    assert ended(headrace, "quick", run_id) == "success"
    pool(60)
    headrace.demo.behave(latency=0.1)
    body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False}
    headrace.api.call("POST", "/dags/quick/clearTaskInstances", json=body)
    assert ended(headrace, "quick", run_id) == "success"
    assert set(slots_of(headrace, run_id)) == {4}
    assert headrace.demo.stats(keys=0)["peak"] <= 60


def test_a_task_killed_twice_loses_no_row_and_repeats_no_answered_call(headrace, tmp_path):
    rows = 2000
    headrace.demo.behave(latency=0.02)
    run_id = headrace.api.trigger("quick", on_echo(headrace, tmp_path, rows))
    chance = random.Random()
    killed = 0
    while killed < 2:
        calls = headrace.demo.stats()["calls"]
        at_work = callers(headrace)
        if at_work and calls > 50:
            time.sleep(chance.uniform(0, 1.5))
            with_segment = callers(headrace)
            if with_segment:
                chance.choice(with_segment).kill()
                killed += 1
        assert headrace.api.run_state("quick", run_id) in ("queued", "running")
        time.sleep(0.05)
    assert ended(headrace, "quick", run_id) == "success"
    stats = headrace.demo.stats()
    assert len(stats["by_key"]) == rows
    assert stats["calls"] - rows <= killed  # one request in flight a task: what a kill may lose
    report = json.loads((folder_of(headrace, run_id, "quick") / "report.json").read_text())
    assert report["counts"] == {"rows": rows, "ok": rows, "failed": 0, "skipped": 0}
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["id"] for record in records] == [str(number) for number in range(rows)]


def test_a_finished_tasks_progress_is_kept_and_clearing_it_calls_its_rows_again_and_no_others(headrace, tmp_path):
    headrace.demo.behave()
    run_id, state = trigger(headrace, **on_echo(headrace, tmp_path, 100))
    assert state == "success"
    kept = headrace.api.kept_state("csv_processing", run_id, "call_api", 4, KEPT_AS)
    assert (kept["done"], kept["total"], kept["failed"]) == (20, 20, 0)
    headrace.demo.behave()
    assert clear(headrace, run_id, task_ids=[["call_api", 2]]) == "success"
    rows = [task["rendered_map_index"] for task in task_instances(headrace, run_id) if task["map_index"] == 2]
    assert rows == ["rows 41-60"]
    assert headrace.demo.stats()["by_key"] == {str(number): 1 for number in range(40, 60)}
    assert len(json.loads((tmp_path / "out.json").read_text())) == 100


def test_a_budget_is_kept_to_the_call_over_all_tasks_and_a_redrive_goes_on(headrace, tmp_path):
    headrace.demo.behave(latency=0.01)
    output = tmp_path / "out.json"
    made = headrace.run(OUTPUT=str(output), MAX_CALLS="50")
    assert made.status == 0, made.output
    assert headrace.demo.stats()["calls"] == 50
    assert "rows 142, ok 50, failed 0, skipped 92" in made.output
    part = tmp_path / "out.partial.json"
    assert f"output: {part} (a part: 50 of 142 rows; the last whole output stays)" in made.output
    assert (len(json.loads(part.read_text())), output.exists()) == (50, False)
    rows = list(csv.DictReader(headrace.errors()))
    assert {row["error"] for row in rows} == {"skipped: budget, max_calls = 50 calls were made"}
    hint = "to call the 92 rows without an answer (at most 50 calls): "
    made = redriven(headrace, made, hint)
    assert headrace.demo.stats()["calls"] == 50
    assert (len(json.loads(part.read_text())), output.exists()) == (100, False)
    hint = "to call the 42 rows without an answer (42 calls, more where one is retried): "
    made = redriven(headrace, made, hint, pipe=" | head -n 1")  # a reader that leaves ends nothing
    assert headrace.demo.stats()["calls"] == 42
    assert len(json.loads(output.read_text())) == 142
    assert made.output.count("\n") == 1


def test_a_dag_that_waits_for_the_output_is_told_of_the_whole_and_not_of_a_part(headrace, tmp_path):
    """The tests' Airflow starts no run by itself: what would start one waits in a queue."""
    headrace.demo.behave()
    while headrace.api.find_dag("follower") is None:
        time.sleep(0.2)
    headrace.api.pause("follower", False)
    headrace.api.request("DELETE", "/dags/follower/assets/queuedEvents")  # of other tests' runs, if there are any
    queued = []
    for calls in (4, 9):
        assert trigger(headrace, **on_echo(headrace, tmp_path, 9, max_calls=calls))[1] == "success"
        queued.append(headrace.api.call("GET", "/dags/follower/assets/queuedEvents")["total_entries"])
    headrace.api.pause("follower", True)
    assert queued == [0, 1]
    (event,) = headrace.api.call("GET", "/assets/events?order_by=-timestamp&limit=1")["asset_events"]
    told = event["extra"]
    assert (event["name"], told["output"], told["ok"]) == ("csv_processing", str(tmp_path / "out.json"), 9)


def redriven(headrace, made, hint, pipe=""):
    """What the command comes to that ends `made`, behind `hint`, as it is printed there; `pipe` stands behind it."""
    line = made.output.splitlines()[-1]
    assert line.startswith(hint)
    headrace.demo.behave()
    command = ["bash", "-o", "pipefail", "-c", line.removeprefix(hint) + pipe]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=240)
    assert (ended.returncode, ended.stderr) == (0, "")
    return Made(0, ended.stdout)


def test_after_its_deadline_a_run_writes_what_it_has_beside_its_output(headrace, tmp_path):
    headrace.demo.behave(latency=0.2)
    conf = on_echo(headrace, tmp_path, 1000, deadline="8 seconds")
    run_id, state = trigger(headrace, **conf)
    assert state == "success"
    counts = json.loads((folder_of(headrace, run_id) / "report.json").read_text())["counts"]
    assert counts["ok"] == headrace.demo.stats()["calls"] == 1000 - counts["skipped"]
    assert 0 < counts["ok"] < 1000
    assert len(json.loads((tmp_path / "out.partial.json").read_text())) == counts["ok"]


def test_a_strict_servers_limit_is_kept(headrace, tmp_path):
    headrace.demo.behave(quota={"calls": 5, "seconds": 1})
    source = write_csv(tmp_path / "limited.csv", range(25))
    url = f"{headrace.demo.url}/echo"
    made = headrace.run(CSV=source, OUTPUT=str(tmp_path / "o.json"), API_URL=url, RATE="5/second")
    assert made.status == 0, made.output
    statuses = headrace.demo.stats()["statuses"]
    assert statuses["200"] == 25
    assert statuses.get("429", 0) <= 1
    assert "limit 5/second: 25 calls to " in made.output
    assert " take at least 4.9 s" in made.output


def test_many_rows_leave_little_in_airflows_database(headrace, tmp_path):
    rows = 20_000
    headrace.demo.behave()
    before = (headrace.home / "airflow.db").stat().st_size
    run_id, state = trigger(headrace, **on_echo(headrace, tmp_path, rows))
    assert state == "success"
    assert (headrace.home / "airflow.db").stat().st_size - before < 1024 * 1024
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["id"] for record in records] == [str(number) for number in range(rows)]
    stats = headrace.demo.stats()
    assert (stats["calls"], len(stats["by_key"])) == (rows, rows)
    assert len([task for task in task_instances(headrace, run_id) if task["task_id"] == "call_api"]) == 5


def test_a_run_removes_folders_of_old_runs_and_what_is_gone_is_said(headrace, tmp_path):
    headrace.demo.behave()
    folders = headrace.storage / "runs" / "csv_processing"
    folders.mkdir(parents=True, exist_ok=True)
    for number in range(80):  # old ones, that ended without an output
        old = folders / f"old-{number}"
        old.mkdir()
        (old / "run.json").write_text(json.dumps({"run": f"old-{number}", "began": float(number)}))
    second, state = trigger(headrace, **on_echo(headrace, tmp_path, 3, output=str(tmp_path / "other.json")))
    assert state == "success"
    began = {path.name: json.loads((path / "run.json").read_text())["began"] for path in folders.iterdir()}
    newest = sorted(began, key=began.__getitem__, reverse=True)[:KEEP_RUNS]
    assert {name for name in began if name.startswith("old-")} <= set(newest)
    assert "old-0" not in began
    folder_of(headrace, second).rename(tmp_path / "removed")
    made = headrace.run(RETRY_FAILED_OF=second)
    assert made.status != 0
    assert f"error: retry_failed_of is `{second}`: its data is gone" in made.output
