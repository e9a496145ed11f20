"""How a run of a CSV pipeline ends for people: `report.json` in its folder, and a message to Telegram."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from airflow.sdk import Context

from include.common.errors import BadInputError
from include.enrichment.models import Pipeline
from include.enrichment.report import Report, foreseen
from include.enrichment.results import read_tally, tally
from include.enrichment.run import RunFolder
from include.orchestration import settings
from include.orchestration.failures import ERROR
from include.orchestration.telegram import HeadraceTelegramOperator


def run_folder(pipeline: Pipeline, context: Context) -> RunFolder:
    """The folder of the run that `context` belongs to."""
    return RunFolder(settings.storage(), pipeline.name, context["dag_run"].run_id)


def seconds_since_start(context: Context) -> float:
    """Seconds from the run's start until now."""
    start = context["dag_run"].start_date or datetime.now(UTC)
    return round((datetime.now(UTC) - start).total_seconds(), 3)


class RunReportOperator(HeadraceTelegramOperator):
    """Writes what a run came to as `report.json`, and tells Telegram. For use as a teardown: it runs in any case."""

    def __init__(self, *, pipeline: Pipeline, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pipeline = pipeline

    def execute(self, context: Context) -> None:
        """Report, then send."""
        report = make_report(self._pipeline, context)
        report.write(run_folder(self._pipeline, context))
        self.log.info("%s", report.as_text())
        self.text = report.as_html()
        super().execute(context)


def make_report(pipeline: Pipeline, context: Context) -> Report:
    """What the run came to, from its folder and from the sentences of the tasks that failed."""
    folder = run_folder(pipeline, context)
    ti = context["ti"]
    problems = ti.xcom_pull(task_ids=["plan", "call_api", "transform", "write_json"], key=ERROR) or []
    problems = list(dict.fromkeys(str(problem) for problem in problems if problem))
    outputs = ti.xcom_pull(task_ids="write_json") or []
    found = None
    note = None
    try:
        made = folder.read_plan()
    except BadInputError:
        state = "failed"
    else:
        found = None if made.dry_run else read_tally(folder) or tally(folder, made)
        state = "dry run" if made.dry_run else ("success" if outputs else "failed")
        note = foreseen(made)
        if made.dry_run:
            note = f"{made.rows} rows, {made.rows - made.to_call} of them not to be called; {note}"
    if state == "failed" and not problems:
        problems = ["a task ended without a sentence; its log says more"]
    return Report(
        pipeline=pipeline.name,
        run_id=context["dag_run"].run_id,
        state=state,
        seconds=seconds_since_start(context),
        counts=found.counts if found else None,
        outputs=outputs,
        problems=problems,
        first_errors=found.first_errors if found else [],
        errors_file=str(folder.errors) if found and found.counts.ok < found.counts.rows else None,
        link=_link(context),
        note=note,
    )


def _link(context: Context) -> str:
    from airflow.sdk.configuration import conf

    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/dags/{context['dag_run'].dag_id}/runs/{quote(context['dag_run'].run_id)}"
