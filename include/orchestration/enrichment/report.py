"""How a run of a CSV pipeline ends for people: `report.json` in its folder, and a message to Telegram."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.common.database import connect
from include.common.errors import HeadraceError
from include.common.limits.budget import Budgets
from include.common.telegram import escape
from include.common.text import one_line
from include.enrichment.history import History, counts_of
from include.enrichment.models import Pipeline
from include.enrichment.report import Report, report_of
from include.enrichment.retention import prune
from include.enrichment.run import RunFolder
from include.orchestration import environment, paths
from include.orchestration.enrichment.job import IN_PROGRESS
from include.orchestration.failures import ERROR
from include.orchestration.links import page_link
from include.orchestration.telegram import HeadraceTelegramOperator


def run_folder(pipeline: Pipeline, context: Context) -> RunFolder:
    """The folder of the run that `context` belongs to."""
    return RunFolder(paths.storage(), pipeline.name, context["dag_run"].run_id)


def budget_key(dag_id: str, run_id: str) -> str:
    """What the calls of a run are counted under."""
    return f"{dag_id} {run_id}"


def seconds_since_start(context: Context) -> float:
    """Seconds from the run's start until now."""
    start = context["dag_run"].start_date or datetime.now(UTC)
    return round((datetime.now(UTC) - start).total_seconds(), 3)


class RunReportOperator(HeadraceTelegramOperator):
    """Writes what a run came to as `report.json`, tells Telegram, keeps the counts, and ends as the run did.

    For use as a teardown that counts for the run: it runs in any case, and a run that somebody marked as failed, or
    whose tasks were skipped for that, stays failed. A message that cannot be sent is logged and fails nothing.
    """

    def __init__(self, *, pipeline: Pipeline, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pipeline = pipeline

    def execute(self, context: Context) -> None:
        """Report, send, and fail where the run did."""
        report = make_report(self._pipeline, context)
        self.log.info("%s", report.as_text())
        self.text = report.as_html()
        try:
            report.write(run_folder(self._pipeline, context))
        except Exception as error:  # noqa: BLE001 (people are told in any case)
            self.log.error("the report was not written: %s", _said(error))
            self.text += "\n" + escape(one_line(f"the report could not be written: {_said(error)}"))
        untold = self._tell(context)
        self._keep(report)
        self._prune(context)
        if report.state == "failed":
            raise AirflowFailException("; ".join(report.problems))
        if untold:
            raise untold

    def _keep(self, report: Report) -> None:
        """Keep what the run came to in the application database, for pages and metrics."""
        try:
            History(connect(environment.database_url())).keep(counts_of(report, datetime.now(UTC)))
        except Exception as error:  # noqa: BLE001 (the run itself is over)
            self.log.error("the run's counts were not kept: %s", _said(error))

    def _prune(self, context: Context) -> None:
        """Remove the folders of old runs; what fails is tried again after the next run."""
        ti, name = context["ti"], self._pipeline.name

        def in_progress(run_ids: list[str]) -> set[str]:
            if not ti.get_dr_count(dag_id=name, run_ids=run_ids, states=IN_PROGRESS):
                return set()
            return {id for id in run_ids if ti.get_dr_count(dag_id=name, run_ids=[id], states=IN_PROGRESS)}

        try:
            output = str(paths.output(self._pipeline.output))
            removed = prune(paths.storage(), name, self._pipeline.keep_runs, in_progress, output)
            budgets = Budgets(connect(environment.database_url()))
            for run_id in removed:
                budgets.forget(budget_key(name, run_id))
        except Exception as error:  # noqa: BLE001 (the run itself is over)
            self.log.error("old runs were not removed: %s", _said(error))

    def _tell(self, context: Context) -> AirflowSkipException | None:
        """Send the message; a skip to end with where that was not possible."""
        try:
            super().execute(context)
        except AirflowSkipException as skip:
            return skip
        except AirflowFailException as error:
            self.log.error("Telegram was not told: %s", error)
            return AirflowSkipException(f"Telegram was not told: {error}")
        return None


def make_report(pipeline: Pipeline, context: Context) -> Report:
    """What the run came to, from its folder and from the sentences of the tasks that failed.

    Where the folder cannot be read, it is what Airflow knows of the run.
    """
    problems = context["ti"].xcom_pull(task_ids=["plan", "call_api", "transform", "write_json"], key=ERROR) or []
    problems = list(dict.fromkeys(str(problem) for problem in problems if problem))
    seconds, link = seconds_since_start(context), _link(context)
    try:
        return report_of(run_folder(pipeline, context), pipeline.name, seconds, problems, link)
    except Exception as error:  # noqa: BLE001 (people are told in any case)
        state = _state(context)
        said = [*(problems if state == "failed" else []), f"the report could not be made: {_said(error)}"]
        return Report(pipeline.name, context["dag_run"].run_id, state, seconds, problems=said, link=link)


def _state(context: Context) -> str:
    """How the run ended, by the states of its tasks."""
    run = context["dag_run"]
    found = context["ti"].get_task_states(dag_id=run.dag_id, task_ids=["plan", "write_json"], run_ids=[run.run_id])
    states = found.get(run.run_id, {})
    if states.get("write_json") == "success":
        return "success"
    return "dry run" if states.get("plan") == "success" and context["params"]["dry_run"] else "failed"


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"


def _link(context: Context) -> str:
    run = context["dag_run"]
    return page_link(f"/csv/runs/{quote(run.dag_id)}/{quote(run.run_id)}")
