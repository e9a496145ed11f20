"""Runs of the real DAGs on the real scheduler, against the demo API in each of its misbehaviours, counting calls."""

import csv
import json
import time

import httpx
import pytest

from include.common.names import file_name

FAILS_AT_ONCE = {"400": "004", "404": "008", "422": "012"}


def trigger(headrace, dag_id="csv_processing", **conf):
    """A run by REST, followed to its end; returns its id and state."""
    run_id = headrace.api.trigger(dag_id, conf)
    return run_id, ended(headrace, dag_id, run_id)


def ended(headrace, dag_id, run_id):
    """The state of a run once it has ended."""
    while (state := headrace.api.run_state(dag_id, run_id)) not in ("success", "failed"):
        assert headrace.dead() == []
        time.sleep(0.2)
    return state


def task_instances(headrace, run_id, dag_id="csv_processing"):
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
    return headrace.api.call("GET", path)["task_instances"]


def write_csv(path, ids, header="id,name"):
    path.write_text(header + "\n" + "".join(f"{number},n{number}\n" for number in ids))
    return str(path)


def test_a_run_answers_every_row_once_and_never_passes_the_pool(headrace, tmp_path):
    output = tmp_path / "вы ход.json"
    headrace.demo.behave(latency=0.05)
    made = headrace.run(OUTPUT=str(output))
    assert made.status == 0, made.output
    stats = headrace.demo.stats()
    assert (stats["calls"], stats["answered"], len(stats["by_key"])) == (142, 142, 142)
    assert 1 < stats["peak"] <= 5
    records = json.loads(output.read_text("utf-8"))
    assert len(records) == 142
    assert list(records[0])[:4] == ["id", "country", "code", "iso_alpha"]
    assert (records[0]["id"], records[0]["latest.population"]) == ("004", 31889923)
    assert [record["id"] for record in records] == sorted(record["id"] for record in records)
    assert (
        made.output.splitlines().count(f"no rate limit: 142 calls to {headrace.demo.url}/countries (the demo API)") == 1
    )
    assert made.output.splitlines()[-4:] == [
        "csv_processing: success",
        "  rows 142, ok 142, failed 0, skipped 0",
        made.output.splitlines()[-2],
        f"  output: {output}",
    ]


def test_up_to_twenty_rows_each_is_a_task_named_by_its_key_and_telegram_is_told_once(headrace, tmp_path):
    headrace.demo.behave()
    told = len(headrace.telegram.messages)
    source = write_csv(tmp_path / "small.csv", ["a b", "c/d", "ё"])
    run_id, state = trigger(
        headrace, source=source, output=str(tmp_path / "o.json"), api_url=f"{headrace.demo.url}/echo", rate_limit="none"
    )
    assert state == "success"
    named = [task["rendered_map_index"] for task in task_instances(headrace, run_id) if task["task_id"] == "call_api"]
    assert sorted(named) == ["a b", "c/d", "ё"]
    assert set(headrace.demo.stats()["by_key"]) == {"a b", "c/d", "ё"}
    (message,) = headrace.telegram.messages[told:]
    assert run_id in message["text"]
    assert "rows 3, ok 3, failed 0, skipped 0" in message["text"]


def test_without_rate_the_dags_own_limit_holds_and_the_run_says_so(headrace, tmp_path):
    headrace.demo.behave()
    source = write_csv(tmp_path / "one.csv", ["1"])
    made = headrace.run(CSV=source, OUTPUT=str(tmp_path / "o.json"), API_URL=f"{headrace.demo.url}/echo", DRY_RUN="1")
    assert made.status == 0, made.output
    assert " fit in a second (the DAG's own limit; RATE=none or RATE=50/second" in made.output
    assert headrace.demo.stats()["calls"] == 0


def start_symbols(headrace, folder, rows):
    """A run of the symbols' pipeline, not waited for."""
    folder.mkdir()
    (folder / "symbols.csv").write_text("symbol;company\n" + rows)
    conf = {"source": str(folder / "symbols.csv"), "output": str(folder / "results" / "{symbol}.json")}
    return headrace.api.trigger("quick_symbols", conf)


def check_symbols(headrace, folder, failing, passing):
    """A soft error that stays fails its symbol and writes nothing; one that passes is retried."""
    assert ended(headrace, "quick_symbols", failing) == "failed"
    assert not (folder / "failing" / "results").exists()
    assert ended(headrace, "quick_symbols", passing) == "success"
    results = folder / "passing" / "results"
    assert sorted(path.name for path in results.iterdir()) == ["AAPL.json", "IBM.json"]
    records = json.loads((results / "AAPL.json").read_text())
    assert len(records) == 100
    assert records[-1] == {
        "symbol": "AAPL",
        "company": "Apple",
        "Date": "2013-03-01",
        "open": 438.0,
        "high": 438.1799,
        "low": 429.98,
        "close": 430.47,
        "volume": 19730300,
    }
    reports = [
        json.loads((headrace.storage / "runs" / "quick_symbols" / file_name(run) / "report.json").read_text())
        for run in (failing, passing)
    ]
    assert "200 without `Time Series (Daily)`: Our standard limit" in reports[0]["problems"][0]
    assert reports[1]["counts"] == {"rows": 3, "ok": 2, "failed": 0, "skipped": 1}


def test_faults_that_pass_are_retried_and_the_others_fail_at_once(headrace, tmp_path):
    """One run for all of them, and two of symbols beside it: counted are each row's calls."""
    headrace.demo.behave(
        faults=[
            {"fault": "soft", "keys": ["FB"]},
            {"fault": "soft", "keys": ["IBM"], "times": 1},
            *({"fault": "status", "keys": [key], "status": int(status)} for status, key in FAILS_AT_ONCE.items()),
            {"fault": "status", "keys": ["024"], "status": 500},
            {"fault": "status", "keys": ["072"], "status": 408, "times": 1},
            {"fault": "status", "keys": ["032"], "status": 425, "times": 1},
            {"fault": "status", "keys": ["036"], "status": 429, "times": 1, "retry_after": 1},
            {"fault": "status", "keys": ["040"], "status": 503, "times": 2},
            {"fault": "drop", "keys": ["048"], "times": 1},
            {"fault": "garbage", "keys": ["050"], "times": 3},
            {"fault": "slow", "keys": ["056"], "times": 1, "seconds": 60},
            {"fault": "huge", "keys": ["068"], "megabytes": 100},
            {"fault": "redirect", "keys": ["070"], "location": "http://other.invalid/x"},
        ]
    )
    failing = start_symbols(headrace, tmp_path / "failing", "FB;Facebook\n")
    passing = start_symbols(headrace, tmp_path / "passing", "AAPL;Apple\nIBM;IBM\nAAPL;Apple again\n")
    output = tmp_path / "out.json"
    _, state = trigger(headrace, "quick", output=str(output))
    assert state == "success"
    check_symbols(headrace, tmp_path, failing, passing)
    calls = headrace.demo.stats()["by_key"]
    assert (calls.pop("FB"), calls.pop("IBM"), calls.pop("AAPL")) == (4, 2, 1)
    assert {key: calls[key] for key in ("004", "008", "012", "068", "070")} == dict.fromkeys(
        ("004", "008", "012", "068", "070"), 1
    )
    assert {key: calls[key] for key in ("024", "072", "032", "036", "040", "048", "050", "056")} == {
        "024": 4,
        "072": 2,
        "032": 2,
        "036": 2,
        "040": 3,
        "048": 2,
        "050": 4,
        "056": 2,
    }
    assert sum(calls.values()) == 142 + 3 + 1 + 1 + 1 + 2 + 1 + 3 + 1
    assert len(json.loads(output.read_text())) == 136
    rows = list(csv.DictReader(headrace.errors("quick")))
    assert [(row["id"], row["status"], row["attempts"]) for row in rows] == [
        ("004", "failed", "1"),
        ("008", "failed", "1"),
        ("012", "failed", "1"),
        ("024", "failed", "4"),
        ("068", "failed", "1"),
        ("070", "failed", "1"),
    ]
    assert "larger than" in rows[4]["error"]
    assert "other.invalid" in rows[5]["error"]


def test_a_source_that_cannot_be_used_fails_the_plan_at_once_and_telegram_is_told(headrace, tmp_path):
    source, output = tmp_path / "in put.csv", tmp_path / "out.json"
    output.write_text("the last good output")
    headrace.demo.behave()
    told = len(headrace.telegram.messages)
    made = headrace.run(CSV=str(source), OUTPUT=str(output))
    assert made.status != 0
    assert f"error: source `{source}` does not exist" in made.output
    assert "Traceback" not in made.output
    assert headrace.demo.stats()["calls"] == 0
    assert output.read_text() == "the last good output"
    assert f"source `{source}` does not exist" in headrace.telegram.messages[told]["text"]


@pytest.mark.parametrize(
    ("conf", "field"),
    [
        ({"rate_limit": "fast"}, "rate_limit"),
        ({"rate_limit": "0/minute"}, "rate_limit"),
        ({"limit": 0}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"dry_run": "maybe"}, "dry_run"),
        ({"api_url": "ftp://x"}, "api_url"),
        ({"source": ""}, "source"),
    ],
)
def test_the_rest_api_refuses_nonsense_with_400_and_names_the_field(headrace, conf, field):
    response = headrace.api.request("POST", "/dags/csv_processing/dagRuns", json={"logical_date": None, "conf": conf})
    assert response.status_code == 400
    assert field in response.json()["detail"]


def test_a_run_that_is_marked_as_failed_calls_no_more_and_stays_failed(headrace, tmp_path):
    headrace.demo.behave(latency=0.2)
    source = write_csv(tmp_path / "in.csv", (f"marked-{number}" for number in range(400)))
    conf = {"source": source, "output": str(tmp_path / "o.json"), "api_url": f"{headrace.demo.url}/echo"}
    run_id = headrace.api.trigger("csv_processing", {**conf, "rate_limit": "none"})
    while headrace.demo.stats()["calls"] < 5:
        time.sleep(0.1)
    headrace.api.fail_run("csv_processing", run_id)
    while "notify" not in {task["task_id"] for task in task_instances(headrace, run_id) if task["end_date"]}:
        time.sleep(0.2)
    time.sleep(1)  # for the scheduler to judge the run once more
    assert headrace.api.run_state("csv_processing", run_id) == "failed"
    assert headrace.demo.stats()["calls"] < 400
    assert not (tmp_path / "o.json").exists()


def test_clearing_what_401_stopped_calls_what_is_missing_and_tells_of_this_pass(headrace, tmp_path):
    headrace.demo.behave(latency=0.05, faults=[{"fault": "status", "status": 401, "keys": ["100"]}])
    run_id, state = trigger(headrace, output=str(tmp_path / "o.json"))
    assert state == "failed"
    segments = (headrace.last_run() / "segments").iterdir()
    answered = sum(path.read_text().count('"status":"ok"') for path in segments)
    assert ",failed,1,401: " in "\n".join(headrace.errors())
    headrace.demo.behave()
    clear = {"dag_run_id": run_id, "only_failed": True, "dry_run": False, "include_downstream": True}
    headrace.api.call("POST", "/dags/csv_processing/clearTaskInstances", json=clear)
    while (state := headrace.api.run_state("csv_processing", run_id)) in ("queued", "running"):
        time.sleep(0.2)
    assert state == "success"
    # Airflow tells the tasks of a run that was marked at their next heartbeat: its last calls may still come.
    calls = {key: count for key, count in headrace.demo.stats()["by_key"].items() if not key.startswith("marked")}
    assert sum(calls.values()) == 142 - answered
    assert headrace.report()["counts"] == {"rows": 142, "ok": 142, "failed": 0, "skipped": 0}
    assert len(json.loads((tmp_path / "o.json").read_text())) == 142


def test_where_telegram_refuses_the_data_stand_and_no_log_holds_the_token(headrace, tmp_path):
    headrace.demo.behave()
    headrace.telegram.answers = [(403, {"ok": False, "error_code": 403, "description": "Forbidden: bot was kicked"})]
    run_id, state = trigger(headrace, output=str(tmp_path / "o.json"), limit=1)
    states = {task["task_id"]: task["state"] for task in task_instances(headrace, run_id)}
    assert (state, states["write_json"], states["notify"]) == ("success", "success", "skipped")
    assert len(json.loads((tmp_path / "o.json").read_text())) == 1
    logs = {path: path.read_text(errors="replace") for path in headrace.home.rglob("*.log") if path.is_file()}
    assert any("Forbidden: bot was kicked" in text for text in logs.values())
    secret = headrace.telegram.token.partition(":")[2]
    assert [path for path, text in logs.items() if secret in text] == []


def test_the_web_ui_asks_for_a_login(headrace):
    assert httpx.get(f"{headrace.web}/api/v2/dags", trust_env=False).status_code == 401
