"""The tasks of the CSV pipelines: each reads Airflow's context and the settings, and calls the row engine."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from airflow.sdk import Context, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from include.common.database import connect
from include.common.errors import PermanentError
from include.common.files import json_lines
from include.common.limits.budget import Allowance, Budgets
from include.common.limits.lease import Lease, Leases
from include.common.limits.pace import Pace
from include.common.limits.rate_limit import RateLimiter, parse_rate
from include.common.limits.unlimited import Unlimited
from include.common.limits.workers import Workers
from include.common.names import file_name
from include.common.patience import Patience, patiently
from include.enrichment.chunk import ChunkCalls, Try
from include.enrichment.client import Client
from include.enrichment.models import Chunk, Expected, Pipeline
from include.enrichment.planner import Capacity, make_plan
from include.enrichment.progress import KEPT_AS, Progress
from include.enrichment.records import Published, beside, publish, write_records
from include.enrichment.report import foreseen
from include.enrichment.results import Manifest, check_failures, frames, read_tally, tally
from include.enrichment.run import Plan, RunFolder
from include.enrichment.transforms import load
from include.orchestration import environment, paths
from include.orchestration.enrichment.form import output_asset
from include.orchestration.enrichment.job import addressed, make_job
from include.orchestration.enrichment.report import budget_key, run_folder, seconds_since_start
from include.orchestration.failures import RetryWhenAsked, reported
from include.orchestration.pool_slots import SLOTS, SLOTS_PER_TASK
from include.orchestration.pools import FEW_SLOTS, slots, slots_per_task
from include.orchestration.termination import termination

log = logging.getLogger(__name__)
SHOWN_OUTPUTS = 10
VERSIONED = ("apache-airflow", "pandas", "aiohttp")


@task
@reported
def plan(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Check and snapshot the CSV; returns the chunks to call."""
    context = get_current_context()
    load(pipeline.transform)
    target, job = make_job(pipeline, context)
    if job.max_calls:
        budgets = Budgets(connect(environment.database_url()))
        patiently(budgets.forget, budget_key(pipeline.name, context["dag_run"].run_id))
    folder = run_folder(pipeline, context)
    plan = make_plan(target.pipeline, job, folder, _capacity(pipeline, context))
    context["task_state_store"].set(SLOTS_PER_TASK, plan.requests_per_task)
    log.info("%s, in %d tasks of %d requests in flight", foreseen(plan), len(plan.chunks), plan.requests_per_task)
    return [chunk.as_dict() for chunk in plan.chunks]


def _capacity(pipeline: Pipeline, context: Context) -> Capacity:
    """What Airflow's pool allows, the file's where Airflow did not say; a rerun's tasks have the slots they had."""
    state, most_tasks = context["task_state_store"], context["dag"].max_active_tasks
    told = state.get(SLOTS)
    allowed = told if isinstance(told, int) else slots(pipeline.pool)
    # Without being told, Airflow takes what the DAG's file says, which knows no workers.
    workers = patiently(Workers(connect(environment.database_url())).present) if told and allowed > FEW_SLOTS else 1
    taken = slots_per_task(allowed, workers, most_tasks)
    if context["ti"].try_number > 1 and isinstance(before := state.get(SLOTS_PER_TASK), int):
        taken = min(taken, before)
    return Capacity(max(1, min(allowed // taken, most_tasks)), taken)


# multiple_outputs False: each key of the counts as an XCom of its own would be one more request a task.
@task(map_index_template="{{ label }}", retry_policy=RetryWhenAsked(), multiple_outputs=False)
@reported
async def call_api(pipeline: Pipeline, chunk: dict[str, Any]) -> dict[str, int]:
    """Call the API for the chunk's rows that no earlier try has ended; returns counts of this try."""
    context = get_current_context()
    ti = context["ti"]
    piece = Chunk(**chunk)
    context["label"] = piece.label  # type: ignore[typeddict-unknown-key]
    folder = run_folder(pipeline, context)
    plan = folder.read_plan()
    target = addressed(pipeline, context["params"]["api_url"] or plan.api_url)
    engine = connect(environment.database_url())
    # With the rate in it: whoever changes the rate does not wait for calls reserved at the old one.
    limit = f"{pipeline.pool} {plan.rate_limit}"
    limiter, rate = RateLimiter(engine), parse_rate(plan.rate_limit)
    patience = Patience()
    pace = Pace(limiter, limit, rate, limit, thread=patience) if rate else Unlimited(limiter, limit, thread=patience)
    allowance: Allowance | None = None
    if plan.max_calls:
        key = budget_key(pipeline.name, context["dag_run"].run_id)
        allowance = Allowance(Budgets(engine), key, plan.max_calls, thread=patience)
    # Named by the run's folder: whoever writes into it is who must not be two at a time.
    name = file_name(f"{pipeline.name}/{context['dag_run'].run_id}/{piece.index}")
    lease = Lease(Leases(engine), name, ti.try_number, pipeline.request.timeout, thread=patience)
    start = context["dag_run"].start_date
    with termination() as terminated:
        calls = ChunkCalls(
            folder=folder,
            plan=plan,
            chunk=piece,
            attempt=Try(ti.try_number, ti.max_tries),
            pace=pace,
            in_flight=min(plan.requests_per_task, piece.rows),
            lease=lease,
            allowance=allowance,
            deadline=start + timedelta(seconds=plan.deadline) if plan.deadline and start else None,
            terminated=terminated,
            tell=lambda progress: _tell(context, progress),
        )
        try:
            async with (
                lease,
                Client(target.pipeline.request, target.endpoint, _expected(pipeline, plan), plan.key) as client,
            ):
                try:
                    outcome = await calls.run(client)
                finally:
                    patience.give_up()  # what is still to be said to the database need not be
        finally:
            await pace.close()
            if allowance:
                await allowance.close()
    return {"ok": outcome.ok, "failed": outcome.failed + outcome.transient}


def _expected(pipeline: Pipeline, plan: Plan) -> Expected | None:
    """What an answer must hold: the pipeline's own rule, or the path that the run named in its place."""
    own = pipeline.expected
    if plan.expected is None or (own and own.key == plan.expected):
        return own
    return Expected(plan.expected)


async def _tell(context: Context, progress: Progress) -> None:
    """Log the progress, and keep it as the task's state, where pages and `make run` read it."""
    log.info("%s", progress.line())
    try:
        # In a thread: while Airflow's API server is slow or gone, the calls go on.
        await asyncio.to_thread(context["task_state_store"].set, KEPT_AS, progress.as_dict())
    except Exception as error:  # noqa: BLE001 (no word of progress is worth a call)
        log.warning("the progress was not kept: %s", error)


@task(trigger_rule="none_failed", multiple_outputs=False)
@reported
def transform(pipeline: Pipeline) -> dict[str, int]:
    """Settle every row, write `errors.csv`, run the pipeline's transform over the answers; returns the counts."""
    context = get_current_context()
    folder = run_folder(pipeline, context)
    plan = folder.read_plan()
    if plan.dry_run:
        raise AirflowSkipException("dry run: nothing was called")
    folder.unsettle()
    found = tally(folder, plan)
    try:
        check_failures(found, pipeline.max_failed_ratio)
    except PermanentError as error:
        _write_manifest(pipeline, context, error=str(error))
        raise
    write_records(_transformed(pipeline, folder, plan), folder.records)
    return asdict(found.counts)


def _transformed(pipeline: Pipeline, folder: RunFolder, plan: Plan) -> Iterator[Any]:
    """What the pipeline's transform makes of each frame."""
    import pandas

    function = load(pipeline.transform)
    for frame in frames(folder, plan, pipeline.whole):
        try:
            result = function(frame)
        except PermanentError:
            raise
        except Exception as error:
            log.exception("the transform failed")
            raise PermanentError(f"transform `{pipeline.transform}` raised {type(error).__name__}: {error}") from error
        if not isinstance(result, pandas.DataFrame):
            kind = type(result).__name__
            raise PermanentError(f"transform `{pipeline.transform}` returned a {kind}, not a DataFrame")
        yield result


@task
@reported
def write_json(pipeline: Pipeline, counts: dict[str, int]) -> list[str]:
    """Publish the records of the `counts` settled rows and write the manifest; returns the first paths written."""
    context = get_current_context()
    folder = run_folder(pipeline, context)
    plan = folder.read_plan()
    folder.forget_manifest()
    found = read_tally(folder)
    partial = found is not None and found.is_part(plan)
    output = beside(plan.output) if partial and pipeline.partial == "beside" else plan.output
    in_place = output == plan.output
    shown, files = _noted(folder, publish(folder.records, output, plan.key, paths.output))
    _write_manifest(pipeline, context, shown, files, partial=partial, in_place=in_place)
    told: dict[str, Any] = {"run": str(folder.path), "output": output, "partial": partial, **counts}
    for alias in context["outlets"] if in_place else ():
        context["outlet_events"][alias].add(output_asset(pipeline), told)
    log.info("%d rows ok, %d files published", counts["ok"], files)
    return [output.path for output in shown]


def _noted(folder: RunFolder, published: Iterator[Published]) -> tuple[list[Published], int]:
    """Publish, with every file noted in `outputs.jsonl`; the first files, and how many there are."""
    shown: list[Published] = []
    files = 0
    with json_lines(folder.outputs) as note:
        for output in published:
            note(asdict(output))
            files += 1
            shown += [output] * (len(shown) < SHOWN_OUTPUTS)
    return shown, files


def _write_manifest(
    pipeline: Pipeline,
    context: Context,
    outputs: list[Published] | None = None,
    files: int = 0,
    error: str | None = None,
    partial: bool = False,
    in_place: bool = True,
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
        files=files,
        outputs=outputs or [],
        pipeline=pipeline,
        versions={name: version(name) for name in VERSIONED},
        error=error,
        partial=partial,
        in_place=in_place,
    ).write(folder)
