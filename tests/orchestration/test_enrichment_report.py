"""What a run came to, from its folder and its tasks' sentences, and how the task that tells it ends."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from botocore.exceptions import EndpointConnectionError

from dags.csv_processing import PIPELINE
from include.common.database import connect
from include.common.errors import BadInputError, PermanentError
from include.common.names import file_name
from include.enrichment import report as summary
from include.enrichment.history import History
from include.orchestration.enrichment import report as module
from include.orchestration.enrichment.report import RunReportOperator, budget_key, make_report
from include.orchestration.environment import database_url
from tests.limits import used
from tests.stand_ins.airflow import TaskInstance

pytest_plugins = ["tests.s3"]


@pytest.fixture
def report_of(airflow):
    return lambda run: make_report(PIPELINE, airflow.context(PIPELINE, run))


@pytest.fixture
def notify(airflow):
    """The task that tells of a run."""
    return lambda run, pipeline=PIPELINE: RunReportOperator(task_id="notify", pipeline=pipeline).execute(
        airflow.context(pipeline, run)
    )


@pytest.fixture
def in_bucket(airflow, bucket, monkeypatch):
    """A run's storage is in a bucket; gives a way to lose it after so many requests, which returns how many came."""
    monkeypatch.setenv("HEADRACE_STORAGE", str(bucket))
    filesystem = type(bucket.fs)
    request = filesystem._call_s3

    def lose(after):
        asked = itertools.count()
        seen = []

        async def call(*arguments, **more):
            seen.append(number := next(asked))
            if number >= after:
                raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")
            return await request(*arguments, **more)

        monkeypatch.setattr(filesystem, "_call_s3", call)
        return seen

    return lose


def say(run, task_id, sentence, map_index=-1):
    TaskInstance(run, task_id, map_index).xcom_push("error", sentence)


def test_a_run_that_failed_before_its_plan_is_told_with_its_sentence_and_no_counts(airflow, report_of):
    run = airflow.add(PIPELINE.name, "manual__1", "running")
    say(run, "plan", "source `/x.csv` does not exist")
    report = report_of(run)
    assert (report.state, report.problems, report.counts) == ("failed", ["source `/x.csv` does not exist"], None)
    assert (report.errors_file, report.note, report.outputs, report.files) == (None, None, [], 0)


def test_a_failed_run_without_a_sentence_says_where_to_look(airflow, report_of):
    report = report_of(airflow.add(PIPELINE.name, "manual__1", "running"))
    assert report.problems == ["the run was stopped, or a task ended without a sentence; the tasks' logs say more"]


def test_the_same_sentence_of_many_tasks_is_said_once_in_the_order_of_the_tasks(airflow, report_of):
    run = airflow.add(PIPELINE.name, "manual__1", "running")
    for index in range(3):
        say(run, "call_api", "401: refused", index)
    say(run, "transform", "no row was answered")
    assert report_of(run).problems == ["401: refused", "no row was answered"]


def test_a_sentence_that_another_task_left_is_not_the_reports(airflow, report_of):
    run = airflow.add(PIPELINE.name, "manual__1", "running")
    say(run, "somebody_elses", "something else")
    assert report_of(run).problems != ["something else"]


def test_a_success_has_its_output_its_counts_and_no_problems(airflow, demo, report_of, tmp_path):
    demo.behave({"fault": "status", "status": 404, "keys": ["004"]})
    run = airflow.run(PIPELINE, output=str(tmp_path / "out.json"), limit=20)
    say(run, "call_api", "an earlier try's sentence", 3)
    report = report_of(run)
    assert (report.state, report.problems, report.files) == ("success", [], 1)
    assert report.outputs == [str(tmp_path / "out.json")]
    assert (report.counts.rows, report.counts.ok, report.counts.failed) == (20, 19, 1)
    assert [error.partition(": 404")[0] for error in report.first_errors] == ["row 1 (004)"]
    assert report.errors_file.endswith("errors.csv")
    assert report.note.startswith("no rate limit: 20 calls to ")


def test_where_every_row_is_ok_no_errors_file_is_named(airflow, demo, report_of):
    assert report_of(airflow.run(PIPELINE, limit=2)).errors_file is None


def test_a_run_that_was_stopped_before_its_rows_were_settled_is_settled_by_the_report(
    airflow, demo, report_of, storage
):
    run = airflow.run(PIPELINE, limit=20)
    folder = storage / "runs" / PIPELINE.name / file_name(run.run_id)
    for name in ("tally.json", "manifest.json", "errors.csv"):
        (folder / name).unlink()
    for segment in sorted((folder / "segments").iterdir())[:5]:
        segment.unlink()
    report = report_of(run)
    assert (report.state, report.outputs) == ("failed", [])
    assert (report.counts.ok, report.counts.failed) == (15, 5)
    assert len((folder / "errors.csv").read_text("utf-8-sig").splitlines()) == 6


def test_what_an_earlier_pass_published_is_not_taken_for_this_ones(airflow, demo, report_of, storage):
    """A person cleared the tasks, and the transform failed this time."""
    run = airflow.run(PIPELINE, limit=2)
    (storage / "runs" / PIPELINE.name / file_name(run.run_id) / "manifest.json").unlink()
    say(run, "transform", "transform `x:y` raised ValueError: no")
    report = report_of(run)
    assert (report.state, report.files, report.problems) == ("failed", 0, ["transform `x:y` raised ValueError: no"])


def test_a_dry_run_of_a_redrive_says_how_many_rows_are_answered_already(airflow, demo, report_of):
    demo.behave({"fault": "status", "status": 404, "keys": ["004"]})
    first = airflow.run(PIPELINE, limit=20)
    demo.behave()
    report = report_of(airflow.run(PIPELINE, retry_failed_of=first.run_id, dry_run=True))
    assert (report.state, report.counts, demo.stats.calls) == ("dry run", None, 0)
    sentence = f"20 rows, 19 of them answered in {first.run_id}, 0 of them not to be called; no rate limit: 1 calls to "
    assert report.note.startswith(sentence)


def test_the_link_leads_to_the_run_also_where_its_id_holds_a_colon(airflow, report_of):
    report = report_of(airflow.add(PIPELINE.name, "manual__2026-11-22T00:40:05+00:00", "running"))
    assert report.link.endswith(
        "/plugin/headrace/headrace/csv/runs/csv_processing/manual__2026-11-22T00%3A40%3A05%2B00%3A00"
    )


def test_the_task_fails_with_the_sentences_where_the_run_did(airflow, telegram, notify):
    run = airflow.add(PIPELINE.name, "manual__1", "running")
    say(run, "call_api", "401: refused", 0)
    say(run, "transform", "no row was answered")
    with pytest.raises(AirflowFailException, match=r"^401: refused; no row was answered$"):
        notify(run)
    assert "401: refused" in telegram.messages[0]["text"]


def test_a_failed_run_that_could_not_be_told_fails_and_is_not_skipped(airflow, telegram, notify, storage):
    telegram.answers = [(403, {"ok": False, "error_code": 403, "description": "Forbidden: bot was kicked"})]
    run = airflow.add(PIPELINE.name, "manual__1", "running")
    with pytest.raises(AirflowFailException, match="the run was stopped"):
        notify(run)
    assert telegram.calls == 1
    assert json.loads((storage / "runs" / PIPELINE.name / "manual__1" / "report.json").read_text())["state"] == "failed"


def test_without_telegram_the_task_is_skipped_after_its_report(airflow, demo, notify, storage):
    run = airflow.run(PIPELINE, limit=1)
    report = storage / "runs" / PIPELINE.name / file_name(run.run_id) / "report.json"
    report.unlink()
    with pytest.raises(AirflowSkipException, match="nobody is told: no connection `telegram_default`"):
        notify(run)
    assert json.loads(report.read_text())["state"] == "success"


def kept_of(*runs):
    return History(connect(database_url())).of(PIPELINE.name, [run.run_id for run in runs])


def test_what_a_run_came_to_is_kept(airflow, demo, tmp_path):
    demo.behave({"fault": "status", "status": 404, "keys": ["004"]})
    before = datetime.now(UTC)
    run = airflow.run(PIPELINE, output=str(tmp_path / "out.json"), limit=20)
    kept = kept_of(run)[run.run_id]
    assert (kept.state, kept.rows, kept.ok, kept.failed, kept.skipped) == ("success", 20, 19, 1, 0)
    assert (kept.calls, kept.retries, kept.files, kept.partial) == (20, 0, 1, False)
    assert before <= kept.ended_at <= datetime.now(UTC)


def test_a_redrive_is_kept_with_its_own_calls_only(airflow, demo):
    demo.behave({"fault": "status", "status": 404, "keys": ["004"]})
    first = airflow.run(PIPELINE, limit=20)
    demo.behave()
    second = airflow.run(PIPELINE, retry_failed_of=first.run_id)
    assert (kept_of(second)[second.run_id].ok, kept_of(second)[second.run_id].calls) == (20, 1)


def test_a_run_that_failed_before_its_plan_is_kept_without_rows(airflow, telegram):
    run = airflow.run(PIPELINE, source="/nowhere.csv")
    kept = kept_of(run)[run.run_id]
    assert (kept.state, kept.rows, kept.calls) == ("failed", 0, 0)


def test_a_dry_run_is_kept_as_one(airflow, demo):
    run = airflow.run(PIPELINE, dry_run=True)
    assert (kept_of(run)[run.run_id].state, kept_of(run)[run.run_id].rows) == ("dry run", 0)


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg2://me@127.0.0.1:9/headrace?connect_timeout=1", "sqlite:////nowhere/headrace.db", "?"]
)
def test_a_database_that_is_away_fails_no_run_that_ends(airflow, demo, telegram, notify, monkeypatch, capsys, url):
    run = airflow.run(PIPELINE, limit=1)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    notify(run)
    assert "the run's counts were not kept: the application database" in capsys.readouterr().out
    assert len(telegram.messages) == 2


def test_what_a_run_came_to_stays_known_where_its_folder_is_removed(airflow, demo, telegram, notify, tmp_path, storage):
    runs = [airflow.run(PIPELINE, output=str(tmp_path / "out.json"), limit=1) for _ in range(4)]
    notify(runs[-1], replace(PIPELINE, keep_runs=2))
    assert len(list((storage / "runs" / PIPELINE.name).iterdir())) == 2
    assert [one.calls for one in kept_of(*runs).values()] == [1] * 4


def test_old_runs_are_removed_with_their_budgets_and_airflow_is_asked_once(
    airflow, demo, telegram, notify, storage, tmp_path
):
    short = replace(PIPELINE, keep_runs=2)
    runs = [airflow.run(PIPELINE, output=str(tmp_path / "out.json"), limit=1, max_calls=9) for _ in range(5)]
    engine = connect(database_url())
    assert [used(engine, budget_key(PIPELINE.name, run.run_id)) for run in runs] == [1] * 5
    airflow.asked = 0
    notify(runs[-1], short)
    kept = {path.name for path in (storage / "runs" / PIPELINE.name).iterdir()}
    assert kept == {file_name(run.run_id) for run in runs[3:]}
    assert [used(engine, budget_key(PIPELINE.name, run.run_id)) for run in runs] == [0, 0, 0, 1, 1]
    assert airflow.asked == 1


def test_an_old_run_that_is_at_work_again_is_kept(airflow, demo, telegram, notify, storage, tmp_path):
    runs = [airflow.run(PIPELINE, output=str(tmp_path / "out.json"), limit=1) for _ in range(4)]
    runs[0].state = "running"
    notify(runs[-1], replace(PIPELINE, keep_runs=2))
    kept = {path.name for path in (storage / "runs" / PIPELINE.name).iterdir()}
    assert kept == {file_name(run.run_id) for run in (runs[0], runs[2], runs[3])}


@pytest.mark.parametrize("error", [BadInputError("the storage is away"), KeyError("began")])
def test_old_runs_that_cannot_be_removed_fail_nothing(airflow, demo, telegram, notify, monkeypatch, error):
    run = airflow.run(PIPELINE, limit=1)

    def fail(*_):
        raise error

    monkeypatch.setattr(module, "prune", fail)
    notify(run)
    assert len(telegram.messages) == 2


@pytest.mark.parametrize("ended", ["success", "failed"])
def test_wherever_a_bucket_is_lost_the_run_is_told_as_what_it_was(airflow, demo, telegram, notify, in_bucket, ended):
    if ended == "failed":
        demo.behave({"fault": "status", "status": 404})
    run = airflow.run(PIPELINE, limit=1)
    assert run.state == ended
    for after in itertools.count():
        telegram.messages.clear()
        asked = in_bucket(after)
        try:
            notify(run)
        except AirflowFailException:
            assert ended == "failed"
        else:
            assert ended == "success"
        (message,) = [sent["text"] for sent in telegram.messages]
        assert f"csv_processing: {ended}" in message
        if after == 0:
            assert "the report could not be made: OSError: " in message
            assert "the report could not be written: " in message
        if len(asked) <= after:
            break
    assert after > 5


@pytest.mark.parametrize("error", [OSError(5, "Input/output error", "/mnt/storage"), KeyError("counts")])
@pytest.mark.parametrize("broken", ["read_manifest", "read_tally"])
def test_a_success_whose_report_cannot_be_made_is_told_as_a_success(
    airflow, demo, telegram, storage, monkeypatch, broken, error
):
    def fail(*_):
        raise error

    monkeypatch.setattr(summary, broken, fail)
    run = airflow.run(PIPELINE, limit=3)
    (message,) = [sent["text"] for sent in telegram.messages]
    assert (run.state, run.state_of("notify")) == ("success", "success")
    assert message.startswith("✅ csv_processing: success")
    assert f"the report could not be made: {type(error).__name__}: " in message


def test_a_run_that_failed_and_whose_report_cannot_be_made_is_told_with_its_sentence(
    airflow, demo, telegram, monkeypatch
):
    def fail(*_):
        raise OSError(5, "Input/output error", "/mnt/storage")

    monkeypatch.setattr(summary, "read_manifest", fail)
    run = airflow.run(PIPELINE, source="/nowhere.csv")
    assert run.state == "failed"
    (message,) = [sent["text"] for sent in telegram.messages]
    assert "source `/nowhere.csv` does not exist" in message
    assert "the report could not be made: OSError: " in message


def test_a_dry_run_whose_report_cannot_be_made_is_none_that_failed(airflow, demo, telegram, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error", "/mnt/storage")

    monkeypatch.setattr(summary, "read_manifest", fail)
    run = airflow.run(PIPELINE, dry_run=True)
    assert (run.state, "csv_processing: dry run" in telegram.messages[0]["text"]) == ("success", True)


@pytest.mark.parametrize("error", [PermanentError("no space"), ValueError("no space")])
def test_a_report_that_cannot_be_written_is_told_and_fails_nothing(airflow, demo, telegram, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(module.Report, "write", full)
    run = airflow.run(PIPELINE, limit=3)
    assert run.state == "success"
    (message,) = [sent["text"] for sent in telegram.messages]
    assert "csv_processing: success" in message
    assert message.splitlines()[-1].startswith("the report could not be written: ")
    assert message.endswith("no space")
