"""The tasks of the CSV pipelines: each reads Airflow's context and the settings, and calls the row engine."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from airflow.sdk import Context, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include.common.database import connect
from include.common.errors import ConfigError, HeadraceError, PermanentError, TransientError
from include.common.rate_limit import RateLimiter, parse_rate
from include.common.templates import quoted
from include.enrichment.caller import Calls, Outcome, Pace, Unlimited
from include.enrichment.client import AccessError, Client
from include.enrichment.endpoint import Endpoint, redacted, spread
from include.enrichment.ledger import Segment, standing
from include.enrichment.models import Chunk, Pipeline
from include.enrichment.planner import Job, make_plan, read_rows
from include.enrichment.records import publish, write_records
from include.enrichment.report import foreseen
from include.enrichment.results import Manifest, check_failures, described, frame, read_tally, tally
from include.enrichment.run import Plan, RunFolder
from include.enrichment.transforms import load
from include.orchestration import settings
from include.orchestration.enrichment_form import params
from include.orchestration.enrichment_report import run_folder, seconds_since_start
from include.orchestration.failures import RetryWhenAsked, reported
from include.orchestration.pools import requests_per_task, tasks_at_once
from include.orchestration.termination import termination

log = logging.getLogger(__name__)
SHOWN_OUTPUTS = 10
VERSIONED = ("apache-airflow", "pandas", "aiohttp")


def _addressed(pipeline: Pipeline, context: Context) -> tuple[Pipeline, Endpoint]:
    """The pipeline with its API's address, from wherever that is set."""
    endpoint = settings.endpoint(pipeline.request, context["params"]["api_url"])
    request, endpoint = spread(pipeline.request, endpoint)
    return replace(pipeline, request=request), endpoint


@task
@reported
def plan(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Check and snapshot the CSV; returns the chunks to call."""
    context = get_current_context()
    chosen = context["params"]
    allowed = params(pipeline)
    if unknown := sorted(set(context["dag_run"].conf or {}) - set(allowed)):
        raise ConfigError(f"unknown parameter {quoted(tuple(unknown))}; allowed are {quoted(tuple(allowed))}")
    load(pipeline.transform)
    pipeline, endpoint = _addressed(pipeline, context)
    limit = chosen["rate_limit"] or ("none" if settings.is_demo(endpoint) else pipeline.rate_limit)
    job = Job(
        source=settings.path_in_project(chosen["source"]),
        output=str(settings.path_in_project(chosen["output"])),
        key=chosen["key"],
        rate_limit=limit,
        limit=chosen["limit"] and int(chosen["limit"]),  # 10.0 is an integer to JSON Schema
        dry_run=chosen["dry_run"],
        api=f"{redacted(endpoint.url)} ({endpoint.origin})",
    )
    folder = run_folder(pipeline, context)
    chunks = make_plan(pipeline, job, folder, tasks_at_once(pipeline.pool))
    made = folder.read_plan()
    log.info("%s, in %d tasks", foreseen(made), len(chunks))
    return [chunk.as_dict() for chunk in chunks]


class SharedPace(Pace):
    """The limit of a pipeline, shared through the application database."""

    def __init__(self, limiter: RateLimiter, key: str, rate_limit: str) -> None:
        rate = parse_rate(rate_limit)
        assert rate is not None, "a pace is for a rate"
        self._limiter, self._key, self._rate = limiter, key, rate

    async def reserve(self) -> float:
        """See `Pace`."""
        return await asyncio.to_thread(self._limiter.reserve, self._key, self._rate)

    async def defer(self, seconds: float) -> None:
        """See `Pace`."""
        await asyncio.to_thread(self._limiter.defer, self._key, seconds)


@task(map_index_template="{{ label }}", retry_policy=RetryWhenAsked())
@reported
async def call_api(pipeline: Pipeline, chunk: dict[str, Any]) -> dict[str, int]:
    """Call the API for the chunk's rows that no earlier try has ended; returns counts of this try."""
    context = get_current_context()
    piece = Chunk(**chunk)
    context["label"] = piece.label  # type: ignore[typeddict-unknown-key]
    try_number = context["ti"].try_number
    folder = run_folder(pipeline, context)
    folder.unsettle()
    folder.resume(piece.index)
    if reason := folder.stopped():
        folder.note_stopped(piece.index)
        raise PermanentError(reason)
    pipeline, endpoint = _addressed(pipeline, context)
    made = folder.read_plan()
    pace: Pace = Unlimited()
    # With the rate in it: whoever changes the rate does not wait for calls reserved at the old one.
    limit = f"{pipeline.pool} {made.rate_limit}"
    if made.rate_limit != "none":
        pace = SharedPace(RateLimiter(connect(settings.database_url())), limit, made.rate_limit)
    with termination() as terminated, Segment(folder.segments, piece.index, try_number) as segment:

        def stopped() -> HeadraceError | None:
            if terminated():
                return TransientError("the task was told to end; what is not answered is left to the next try")
            reason = folder.stopped()
            return PermanentError(reason) if reason else None

        async with Client(pipeline.request, endpoint, pipeline.expected) as client:
            calls = Calls(
                caller=client,
                segment=segment,
                columns=made.columns,
                earlier=standing(folder.segments, piece.index),
                pace=pace,
                limit_name=limit,
                stopped=stopped,
            )
            try:
                outcome = await calls.run(read_rows(folder, piece), requests_per_task(pipeline.pool))
            except AccessError as error:
                folder.stop(str(error))
                raise
            finally:
                if folder.stopped():
                    folder.note_stopped(piece.index)
    return _ended(outcome, last_try=try_number > context["ti"].max_tries)


def _ended(outcome: Outcome, last_try: bool) -> dict[str, int]:
    """The counts of a try, or `TransientError` where rows are left for the next one."""
    log.info("%d ok, %d failed, %d failed for now", outcome.ok, outcome.failed, outcome.transient)
    if outcome.transient and not last_try:
        raise TransientError(f"{outcome.transient} rows to call again; first: {outcome.first_error}", outcome.wait)
    return {"ok": outcome.ok, "failed": outcome.failed + outcome.transient}


@task(trigger_rule="none_failed")
@reported
def transform(pipeline: Pipeline) -> dict[str, int]:
    """Settle every row, write `errors.csv`, run the pipeline's transform over the answers; returns the counts."""
    context = get_current_context()
    folder = run_folder(pipeline, context)
    made = folder.read_plan()
    if made.dry_run:
        raise AirflowSkipException("dry run: nothing was called")
    folder.unsettle()
    found = tally(folder, made)
    try:
        check_failures(found, pipeline.max_failed_ratio)
    except PermanentError as error:
        _write_manifest(pipeline, context, error=str(error))
        raise
    write_records(_transformed(pipeline, folder, made), folder.records)
    return asdict(found.counts)


def _transformed(pipeline: Pipeline, folder: RunFolder, made: Plan) -> Any:
    import pandas

    function = load(pipeline.transform)
    try:
        result = function(frame(folder, made))
    except PermanentError:
        raise
    except Exception as error:
        log.exception("the transform failed")
        raise PermanentError(f"transform `{pipeline.transform}` raised {type(error).__name__}: {error}") from error
    if not isinstance(result, pandas.DataFrame):
        raise PermanentError(f"transform `{pipeline.transform}` returned a {type(result).__name__}, not a DataFrame")
    return result


@task
@reported
def write_json(pipeline: Pipeline, counts: dict[str, int]) -> list[str]:
    """Publish the records of the `counts` settled rows and write the manifest; returns the first paths written."""
    context = get_current_context()
    folder = run_folder(pipeline, context)
    made = folder.read_plan()
    folder.manifest.unlink(missing_ok=True)
    outputs = publish(folder.records, made.output, made.key)
    _write_manifest(pipeline, context, outputs)
    for asset in context["outlets"]:
        context["outlet_events"][asset].extra = {"run": str(folder.path), "output": made.output, **counts}
    log.info("%d rows ok, %d files published", counts["ok"], len(outputs))
    return [str(path) for path in outputs[:SHOWN_OUTPUTS]]


def _write_manifest(
    pipeline: Pipeline, context: Context, outputs: Sequence[Path] = (), error: str | None = None
) -> None:
    folder = run_folder(pipeline, context)
    found = read_tally(folder)
    assert found is not None, "transform settles the run first"
    Manifest(
        run=context["dag_run"].run_id,
        state="failed" if error else "success",
        seconds=seconds_since_start(context),
        tally=found,
        plan=folder.read_plan(),
        outputs=described(outputs),
        pipeline=pipeline,
        versions={name: version(name) for name in VERSIONED},
        error=error,
    ).write(folder)
