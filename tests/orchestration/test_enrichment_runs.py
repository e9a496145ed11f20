"""Whole runs of the pipelines' tasks without a scheduler, against the demo API in each of its misbehaviours."""

import csv
import json
from dataclasses import replace

import pytest

from dags.csv_processing import PIPELINE
from dags.symbol_processing import PIPELINE as SYMBOLS
from include.common.names import file_name
from include.enrichment import breaker
from include.enrichment.breaker import FAILURES_IN_A_ROW
from tests.stand_ins.airflow import RETRIES

LAST_GOOD = "the last good output"


@pytest.fixture
def folder_of(storage):
    return lambda run: storage / "runs" / run.dag_id / file_name(run.run_id)


@pytest.fixture
def report_of(folder_of):
    return lambda run: json.loads((folder_of(run) / "report.json").read_text())


@pytest.fixture
def errors_of(folder_of):
    """The rows of `errors.csv`."""
    return lambda run: list(csv.DictReader((folder_of(run) / "errors.csv").read_text("utf-8-sig").splitlines()))


@pytest.fixture
def on_echo(demo, tmp_path):
    """Parameters of a run over `rows` rows against the demo API's echo, without a limit."""

    def conf(rows, **more):
        source = tmp_path / "in.csv"
        source.write_text("id,name\n" + "".join(f"{number},n{number}\n" for number in range(rows)))
        return {
            "source": str(source),
            "output": str(tmp_path / "out.json"),
            "api_url": f"{demo.url}/echo",
            "rate_limit": "none",
            **more,
        }

    return conf


def published(path):
    return json.loads(path.read_text("utf-8"))


def status(code, *keys, **more):
    return {"fault": "status", "status": code, "keys": list(keys) or None, **more}


def test_a_run_answers_every_row_once_and_its_manifest_says_what_went_in_and_out(airflow, demo, folder_of, tmp_path):
    output = tmp_path / "вы ход.json"
    run = airflow.run(PIPELINE, output=str(output), limit=30)
    assert (run.state, run.state_of("call_api"), run.state_of("write_json")) == ("success", "success", "success")
    assert demo.stats.calls == len(demo.stats.by_key) == 30
    records = published(output)
    assert list(records[0])[:4] == ["id", "country", "code", "iso_alpha"]
    assert (records[0]["id"], records[0]["latest.population"]) == ("004", 31889923)
    manifest = json.loads((folder_of(run) / "manifest.json").read_text())
    assert (manifest["run"], manifest["state"]) == (run.run_id, "success")
    assert manifest["tally"]["counts"] == {"rows": 30, "ok": 30, "failed": 0, "skipped": 0}
    assert manifest["outputs"][0]["path"] == str(output)
    assert len(manifest["outputs"][0]["sha256"]) == 64
    assert manifest["pipeline"]["rate_limit"] == "2/minute"


def test_faults_that_pass_are_retried_and_the_others_fail_at_once(airflow, demo, on_echo, errors_of, tmp_path):
    demo.behave(
        status(400, "1"),
        status(404, "2"),
        status(422, "3"),
        status(500, "4"),
        status(408, "5", times=1),
        status(425, "6", times=1),
        status(429, "7", times=1, retry_after=0),
        status(503, "8", times=2),
        {"fault": "drop", "keys": ["9"], "times": 1},
        {"fault": "garbage", "keys": ["10"], "times": 3},
        {"fault": "huge", "keys": ["11"], "megabytes": 11},
        {"fault": "redirect", "keys": ["12"], "location": "http://other.invalid/x"},
    )
    run = airflow.run(PIPELINE, **on_echo(100))
    assert run.state == "success"
    calls = {"1": 1, "2": 1, "3": 1, "4": 4, "5": 2, "6": 2, "7": 2, "8": 3, "9": 2, "10": 4, "11": 1, "12": 1}
    assert {key: demo.stats.by_key[key] for key in calls} == calls
    assert demo.stats.calls == 100 - len(calls) + sum(calls.values())
    rows = errors_of(run)
    failed = [("1", "1"), ("2", "1"), ("3", "1"), ("4", "4"), ("11", "1"), ("12", "1")]
    assert [(row["id"], row["attempts"]) for row in rows] == failed
    assert "larger than" in rows[4]["error"]
    assert "other.invalid" in rows[5]["error"]
    assert len(published(tmp_path / "out.json")) == 94


def test_a_soft_error_that_stays_fails_its_symbol_and_one_that_passes_is_retried(airflow, demo, report_of, tmp_path):
    (tmp_path / "symbols.csv").write_text("symbol;company\nAAPL;Apple\nIBM;IBM\nAAPL;Apple again\n")
    conf = {
        "source": str(tmp_path / "symbols.csv"),
        "output": str(tmp_path / "results" / "{symbol}.json"),
        "rate_limit": "none",
    }
    demo.behave({"fault": "soft"})
    failing = airflow.run(SYMBOLS, **conf)
    assert (failing.state, failing.state_of("transform")) == ("failed", "failed")
    assert "200 without `Time Series (Daily)`: Our standard limit" in report_of(failing)["problems"][0]
    assert not (tmp_path / "results").exists()
    demo.behave({"fault": "soft", "keys": ["IBM"], "times": 1})
    passing = airflow.run(SYMBOLS, **conf)
    assert (passing.state, dict(demo.stats.by_key)) == ("success", {"AAPL": 1, "IBM": 2})
    assert report_of(passing)["counts"] == {"rows": 3, "ok": 2, "failed": 0, "skipped": 1}
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["AAPL.json", "IBM.json"]
    assert published(tmp_path / "results" / "AAPL.json")[-1] == {
        "symbol": "AAPL",
        "company": "Apple",
        "Date": "2013-03-01",
        "open": 438.0,
        "high": 438.1799,
        "low": 429.98,
        "close": 430.47,
        "volume": 19730300,
    }


def test_rows_that_cannot_be_read_fail_or_are_skipped_and_the_others_go_on(airflow, demo, on_echo, errors_of, tmp_path):
    good = "".join(f"{number},ok\n" for number in range(100, 140))
    bad = b"1\n2,a,b\n3,\xff\n4,x\0y\n,empty\n5,first\n5,again\n"
    source = tmp_path / "ragged.csv"
    source.write_bytes(b"id,name\n" + bad + b'"6","a\nb"\n' + good.encode())
    run = airflow.run(PIPELINE, **on_echo(0, source=str(source)))
    assert run.state == "success"
    rows = errors_of(run)
    assert [(row["id"], row["status"], row["error"].split(":")[0]) for row in rows] == [
        ("1", "failed", "line 2"),
        ("2", "failed", "line 3"),
        ("3", "failed", "line 4"),
        ("4", "failed", "line 5"),
        ("", "skipped", "line 6"),
        ("5", "skipped", "line 8"),
    ]
    assert demo.stats.calls == len(published(tmp_path / "out.json")) == 42


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "source `{path}` does not exist"),
        ("folder", "source `{path}` is a folder, not a file"),
        ("", "`{path}` is empty; expected a header line and at least one row"),
        ("id,name\n", "`{path}` has a header and no rows; expected at least one"),
        ("sku,name\n1,a\n", "`{path}` has no key column `id`; the columns found are `sku`, `name`"),
    ],
)
def test_a_source_that_cannot_be_used_fails_the_plan_at_once(
    airflow, demo, telegram, report_of, tmp_path, content, sentence
):
    source, output = tmp_path / "in put.csv", tmp_path / "out.json"
    output.write_text(LAST_GOOD)
    if content == "folder":
        source.mkdir()
    elif content is not None:
        source.write_text(content)
    run = airflow.run(PIPELINE, source=str(source), output=str(output))
    assert (run.state, run.state_of("plan"), run.tries["plan", -1]) == ("failed", "failed", 1)
    (problem,) = report_of(run)["problems"]
    assert problem.startswith(sentence.format(path=source))
    assert sentence.format(path=source) in telegram.messages[-1]["text"]
    assert (demo.stats.calls, output.read_text()) == (0, LAST_GOOD)


@pytest.mark.parametrize("code", [401, 403])
def test_refused_credentials_stop_the_run_with_one_sentence_and_one_call(airflow, demo, report_of, tmp_path, code):
    output = tmp_path / "out.json"
    output.write_text(LAST_GOOD)
    demo.behave(status(code))
    run = airflow.run(PIPELINE, output=str(output))
    assert run.state == "failed"
    (problem,) = report_of(run)["problems"]
    assert f"{code}: " in problem
    assert "refuses the credentials (from the demo API)" in problem
    assert (demo.stats.calls, output.read_text()) == (1, LAST_GOOD)


def test_too_many_failed_rows_fail_the_run_after_errors_csv_and_keep_the_last_output(
    airflow, demo, on_echo, report_of, errors_of, tmp_path
):
    output = tmp_path / "out.json"
    output.write_text(LAST_GOOD)
    demo.behave(status(404, "0", "1", "2", "3"))
    run = airflow.run(PIPELINE, **on_echo(30))
    assert (run.state, run.state_of("transform"), run.tries["transform", -1]) == ("failed", "failed", 1)
    sentence = "4 of 30 rows failed, more than max_failed_ratio = 0.1 allows; first: row 1 (0): 404"
    assert report_of(run)["problems"][0].startswith(sentence)
    assert [row["id"] for row in errors_of(run)] == ["0", "1", "2", "3"]
    assert output.read_text() == LAST_GOOD


@pytest.fixture
def quick(monkeypatch):
    """An API that is away is waited for as ever, in milliseconds, and asked at most five times."""
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(breaker, "LONGEST_SILENCE", 0.1)


def test_rows_that_each_fail_once_are_all_answered(airflow, demo, on_echo, quick, report_of):
    demo.behave({"fault": "status", "status": 500, "times": 1})
    run = airflow.run(PIPELINE, **on_echo(500))
    assert report_of(run)["counts"] == {"rows": 500, "ok": 500, "failed": 0, "skipped": 0}
    assert set(demo.stats.by_key.values()) == {2}


def test_a_server_that_is_down_is_not_hammered(airflow, demo, on_echo, quick):
    demo.behave(status(503))
    run = airflow.run(PIPELINE, **on_echo(1000))
    assert run.state == "failed"
    tries = sum(number for (task, _), number in run.tries.items() if task == "call_api")
    assert tries == 5 * (1 + RETRIES)
    assert 0 < demo.stats.calls <= (FAILURES_IN_A_ROW + 5) * tries


def test_an_errors_csv_is_a_source(airflow, demo, on_echo, folder_of, tmp_path):
    demo.behave(status(404, "1", "7"))
    first = airflow.run(PIPELINE, **on_echo(30))
    demo.behave()
    run = airflow.run(PIPELINE, **on_echo(30, source=str(folder_of(first) / "errors.csv")))
    assert (run.state, dict(demo.stats.by_key)) == ("success", {"1": 1, "7": 1})
    assert [list(record) for record in published(tmp_path / "out.json")] == [["id", "name", "key", "length"]] * 2


def test_a_dry_run_calls_nothing_and_says_what_would_be_called(airflow, demo, on_echo, report_of, tmp_path):
    run = airflow.run(PIPELINE, **on_echo(30, rate_limit=None, dry_run=True))
    assert (run.state, run.state_of("transform"), demo.stats.calls) == ("success", "skipped", 0)
    report = report_of(run)
    assert (report["state"], report["counts"], report["problems"]) == ("dry run", None, [])
    sentence = f"30 rows, 0 of them not to be called; limit 2/minute: 30 calls to {demo.url}/echo"
    assert report["note"].startswith(sentence)
    assert not (tmp_path / "out.json").exists()


def test_a_budget_is_kept_to_the_call_and_a_redrive_goes_on(airflow, demo, on_echo, report_of, errors_of, tmp_path):
    run = airflow.run(PIPELINE, **on_echo(100, max_calls=40))
    assert (run.state, demo.stats.calls) == ("success", 40)
    assert report_of(run)["counts"] == {"rows": 100, "ok": 40, "failed": 0, "skipped": 60}
    assert {row["error"] for row in errors_of(run)} == {"skipped: budget, max_calls = 40 calls were made"}
    demo.behave()
    redrive = airflow.run(PIPELINE, retry_failed_of=run.run_id)
    assert (redrive.state, demo.stats.calls) == ("success", 60)
    assert [record["id"] for record in published(tmp_path / "out.json")] == [str(number) for number in range(100)]


def test_telegram_is_told_of_the_run_in_one_screen(airflow, demo, telegram):
    demo.behave(status(404, "004"))
    run = airflow.run(PIPELINE, limit=20)
    (message,) = [sent["text"] for sent in telegram.messages]
    assert "csv_processing: success" in message
    assert run.run_id in message
    assert "rows 20, ok 19, failed 1, skipped 0" in message
    assert "row 1 (004): 404" in message


def test_a_notification_that_fails_does_not_fail_the_data(airflow, demo, telegram, report_of, tmp_path):
    telegram.answers = [(403, {"ok": False, "error_code": 403, "description": "Forbidden: bot was kicked"})]
    run = airflow.run(PIPELINE, output=str(tmp_path / "o.json"), limit=1)
    assert (run.state, run.state_of("write_json"), run.state_of("notify")) == ("success", "success", "skipped")
    assert len(published(tmp_path / "o.json")) == 1
    assert report_of(run)["state"] == "success"


def test_a_run_that_a_budget_cut_short_writes_its_part_beside_the_last_whole_output(
    airflow, demo, on_echo, report_of, folder_of, tmp_path
):
    whole = airflow.run(PIPELINE, **on_echo(30))
    assert (whole.state, len(published(tmp_path / "out.json"))) == ("success", 30)
    run = airflow.run(PIPELINE, **on_echo(30, max_calls=12))
    report = report_of(run)
    assert (run.state, report["partial"], report["outputs"]) == ("success", True, [str(tmp_path / "out.partial.json")])
    assert (report["callable"], report["skipped"]) == (18, {"budget, max_calls = 12 calls were made": 18})
    assert len(published(tmp_path / "out.json")) == 30
    assert len(published(tmp_path / "out.partial.json")) == 12
    assert json.loads((folder_of(run) / "manifest.json").read_text())["partial"]
    # A redrive completes it, and publishes the whole.
    redrive = airflow.run(PIPELINE, **on_echo(30, retry_failed_of=run.run_id))
    assert (report_of(redrive)["partial"], report_of(redrive)["outputs"]) == (False, [str(tmp_path / "out.json")])


def test_the_first_rows_alone_do_not_replace_the_pipelines_own_output(airflow, demo, report_of, storage):
    assert airflow.run(PIPELINE).state == "success"
    run = airflow.run(PIPELINE, limit=10)
    assert report_of(run)["outputs"] == [str(storage / "output.partial.json")]
    assert (len(published(storage / "output.json")), len(published(storage / "output.partial.json"))) == (142, 10)
    # Where the limit takes them all, it is no part; nor with an output of its own.
    assert not report_of(airflow.run(PIPELINE, limit=1000))["partial"]
    own = airflow.run(PIPELINE, limit=10, output=str(storage / "ten.json"))
    assert report_of(own)["outputs"] == [str(storage / "ten.json")]


def test_a_pipeline_may_publish_its_parts(airflow, demo, telegram, report_of, folder_of, storage):
    run = airflow.run(replace(PIPELINE, partial="publish"), limit=10)
    report = report_of(run)
    assert (report["partial"], report["outputs"]) == (True, [str(storage / "output.json")])
    assert len(published(storage / "output.json")) == 10
    assert json.loads((folder_of(run) / "manifest.json").read_text())["partial"]
    (message,) = [sent["text"] for sent in telegram.messages]
    assert f"output: {storage / 'output.json'} (a part: 10 of 10 rows, in the output's place)" in message


def test_the_last_run_that_published_the_whole_is_kept_where_parts_are_published_after_it(airflow, demo, folder_of):
    pipeline = replace(PIPELINE, partial="publish", keep_runs=1)
    runs = [airflow.run(pipeline, limit=limit) for limit in (None, 2, 2)]
    assert [folder_of(run).exists() for run in runs] == [True, False, True]


def test_the_asset_has_an_event_of_the_output_and_none_of_a_part_beside_it(airflow, demo, storage):
    whole = airflow.run(PIPELINE)
    ((asset, told),) = whole.events
    assert (asset, told["output"], told["partial"]) == (PIPELINE.name, str(storage / "output.json"), False)
    assert (told["rows"], told["ok"]) == (142, 142)
    assert airflow.run(PIPELINE, limit=10).events == []
    ((_, told),) = airflow.run(replace(PIPELINE, partial="publish"), limit=10).events
    assert (told["output"], told["partial"], told["ok"]) == (str(storage / "output.json"), True, 10)


def test_a_200_without_what_is_expected_is_no_answer_and_a_redrive_expects_the_same(airflow, demo, on_echo, report_of):
    demo.behave({"fault": "soft", "keys": ["1"]})
    run = airflow.run(PIPELINE, **on_echo(10, expected="key"))
    assert report_of(run)["counts"] == {"rows": 10, "ok": 9, "failed": 1, "skipped": 0}
    assert "200 without `key`" in report_of(run)["first_errors"][0]
    redrive = airflow.run(PIPELINE, **{**on_echo(10, retry_failed_of=run.run_id)})
    assert report_of(redrive)["counts"]["failed"] == 1
    demo.behave()
    missing = airflow.run(PIPELINE, **on_echo(3, expected="data.items"))
    assert (missing.state, "200 without `data.items`" in report_of(missing)["problems"][0]) == ("failed", True)
