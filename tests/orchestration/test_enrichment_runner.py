"""A pipeline's run as the launcher follows it: from its folder, and from what its tasks keep."""

import pytest

from include.common.database import connect
from include.common.schema import migrate
from include.enrichment.history import History
from include.enrichment.models import Chunk, Counts
from include.enrichment.report import Report, read_report
from include.enrichment.run import Plan, RunFolder, Source
from include.launch.branches import branches
from include.orchestration.enrichment.progress import Rows
from include.orchestration.enrichment.runner import PipelineRun
from include.orchestration.rest import TaskState
from include.orchestration.runner import Again, Standing


class Api:
    """Every task says `said` of its progress."""

    def __init__(self, **said):
        self.said = {"done": 0, "failed": 0, "waiting": 0.0} | said

    def kept_state(self, dag_id, run_id, task, index, key):
        assert (dag_id, run_id, task, key) == ("csv_processing", "r", "call_api", "progress")
        return self.said


def calls(*states):
    return [
        TaskState("plan", -1, "success"),
        *(TaskState("call_api", index, state) for index, state in enumerate(states)),
    ]


def planned(*rows, **fields):
    chunks = tuple(Chunk(index, f"rows {index}", 1, count, count, 0, 1) for index, count in enumerate(rows))
    source = Source("in.csv", 1, "0", "utf-8", ",", ("id",))
    own = {"dry_run": False, "chunks": chunks}
    return Plan(source, "o.json", "id", "2/minute", None, rows=sum(rows), to_call=sum(rows), **own | fields)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path, "csv_processing", "r")


@pytest.fixture
def run(tmp_path, folder):
    """Of a run that has begun."""
    folder.create()
    return PipelineRun(tmp_path, "csv_processing", "r", {})


def test_the_limit_is_foreseen_once_there_is_a_plan_and_it_is_said_how_to_lift_it(run, folder, tmp_path):
    assert run.foreseen() is None
    folder.write_plan(planned(4))
    assert run.foreseen().startswith("limit 2/minute: 4 calls take at least")
    assert run.foreseen().endswith(" (the DAG's own limit; RATE=none or RATE=50/second changes it)")
    given = PipelineRun(tmp_path, "csv_processing", "r", {"rate_limit": "2/minute"})
    assert "(the DAG's own limit" not in given.foreseen()


def test_rows_are_counted_by_what_the_tasks_say_and_by_tasks_where_these_are_one_row():
    asked = []

    def ask(index):
        asked.append(index)
        return {"done": 30, "failed": 2, "waiting": 7.0} if index == 0 else None

    tasks = calls("running", "queued", "success", "running")
    assert Rows().standing(planned(100, 100, 1, 1), tasks, ask) == Standing(
        31, 202, ("2 rows failed", "waiting 7.0 s for the limit 2/minute")
    )
    assert asked == [0]


def test_tasks_are_not_asked_any_more_once_they_have_ended():
    asked = []

    def ask(index):
        asked.append(index)
        return {"done": 100, "failed": 0, "waiting": 0.0}

    rows = Rows()
    for state in ("running", "success", "success"):
        found = rows.standing(planned(100), calls(state), ask)
    assert asked == [0, 0]
    assert found == Standing(100, 100)


def test_nothing_is_counted_before_the_plan_and_of_a_dry_run(run, folder):
    assert run.standing(Api(), []) == Standing()
    folder.write_plan(planned(4, dry_run=True))
    assert run.standing(Api(), []) == Standing()


def test_failures_waits_and_an_outage_are_said_beside_the_rows(run, folder):
    folder.write_plan(planned(4))
    words = ("1 rows failed", "waiting 24 s for the limit 2/minute", "waiting for the API to come back")
    found = run.standing(Api(done=2, failed=1, waiting=24.0, outage=True), calls("running"))
    assert found == Standing(2, 4, words)


def test_a_stop_is_written_for_the_tasks_where_the_run_has_begun(run, folder, tmp_path):
    run.stop("enough")
    assert folder.stopped() == "enough"
    other = RunFolder(tmp_path, "csv_processing", "other")
    PipelineRun(tmp_path, "csv_processing", "other", {}).stop("enough")
    assert not other.path.exists()


def test_only_a_chunk_at_work_has_calls_under_way(run):
    assert run.is_calling(calls("success", "running"))
    assert not run.is_calling([*calls("failed", "queued"), TaskState("notify", -1, "running")])


def test_the_report_of_a_run_comes_from_its_folder_and_says_what_may_be_called_again(run, folder):
    assert (run.report(), run.hint(Again("make run"))) == (None, None)
    folder.write_plan(planned(4))
    report = Report("csv_processing", "r", "success", 1.0, Counts(4, 1, 1, 2), callable=3, skipped={"deadline": 2})
    report.write(folder)
    assert run.report().splitlines()[2] == "  skipped: 2 deadline"
    assert run.hint(Again("make run")).startswith(
        "to call the 3 rows without an answer (3 calls, more where one is retried): make run "
    )


def test_there_is_no_hint_where_no_row_can_be_called(run, folder):
    folder.write_plan(planned(4))
    Report("csv_processing", "r", "success", 1.0, Counts(4, 1, 1, 2), skipped={"repeated key": 2}).write(folder)
    assert run.hint(Again("make run")) is None


def test_a_late_report_is_written_kept_and_given_for_telegram(run, folder, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'headrace.db'}"
    migrate(url, branches=branches())
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    run.stop("enough")
    assert "error: enough" in run.report_late(7.0)
    assert (read_report(folder).state, read_report(folder).seconds) == ("failed", 7.0)
    kept = History(connect(url)).of("csv_processing", ["r"])["r"]
    assert (kept.state, kept.seconds, kept.began) == ("failed", 7.0, folder.began())


def test_a_late_report_is_given_where_the_database_is_away(run, monkeypatch, caplog):
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "sqlite:////nowhere/headrace.db")
    run.stop("enough")
    assert "error: enough" in run.report_late(7.0)
    assert "the run's counts were not kept: the application database" in caplog.text
