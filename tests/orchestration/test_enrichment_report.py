"""What a run came to, from its folder and its tasks' sentences, and how the task that tells it ends."""

import json
from dataclasses import replace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from dags.csv_processing import PIPELINE
from include.common.database import connect
from include.common.errors import BadInputError
from include.common.names import file_name
from include.orchestration.enrichment.report import RunReportOperator, budget_key, make_report
from include.orchestration.environment import database_url
from tests.limits import used
from tests.stand_ins.airflow import TaskInstance


@pytest.fixture
def report_of(airflow):
    return lambda run: make_report(PIPELINE, airflow.context(PIPELINE, run))


@pytest.fixture
def notify(airflow):
    """The task that tells of a run."""
    return lambda run, pipeline=PIPELINE: RunReportOperator(task_id="notify", pipeline=pipeline).execute(
        airflow.context(pipeline, run)
    )


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
    assert report.link.endswith("/dags/csv_processing/runs/manual__2026-11-22T00%3A40%3A05%2B00%3A00")


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


def test_old_runs_are_removed_with_their_budgets_and_airflow_is_asked_once(
    airflow, demo, telegram, notify, storage, tmp_path
):
    short = replace(PIPELINE, keep_runs=2)
    runs = [airflow.run(PIPELINE, output=str(tmp_path / "out.json"), limit=1, max_calls=9) for _ in range(5)]
    engine = connect(database_url())
    assert [used(engine, budget_key(PIPELINE, run.run_id)) for run in runs] == [1] * 5
    airflow.asked = 0
    notify(runs[-1], short)
    kept = {path.name for path in (storage / "runs" / PIPELINE.name).iterdir()}
    assert kept == {file_name(run.run_id) for run in runs[3:]}
    assert [used(engine, budget_key(PIPELINE, run.run_id)) for run in runs] == [0, 0, 0, 1, 1]
    assert airflow.asked == 1


def test_an_old_run_that_is_at_work_again_is_kept(airflow, demo, telegram, notify, storage, tmp_path):
    runs = [airflow.run(PIPELINE, output=str(tmp_path / "out.json"), limit=1) for _ in range(4)]
    runs[0].state = "running"
    notify(runs[-1], replace(PIPELINE, keep_runs=2))
    kept = {path.name for path in (storage / "runs" / PIPELINE.name).iterdir()}
    assert kept == {file_name(run.run_id) for run in (runs[0], runs[2], runs[3])}


def test_old_runs_that_cannot_be_removed_fail_nothing(airflow, demo, telegram, notify, monkeypatch):
    run = airflow.run(PIPELINE, limit=1)

    def fail(*_):
        raise BadInputError("the storage is away")

    monkeypatch.setattr("include.orchestration.enrichment.report.prune", fail)
    notify(run)
    assert len(telegram.messages) == 2
