"""Planning a run: its rows from the CSV or from an earlier run, and as many chunks as it is worth having tasks."""

import errno
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from include.common.errors import BadInputError, ConfigError
from include.common.limits.rate_limit import Rate, parse_rate
from include.common.storage import Place, remove_folder, scratch
from include.enrichment.job import Job
from include.enrichment.models import Chunk, Pipeline, check_output
from include.enrichment.redrive import take_over
from include.enrichment.rows import RowWriter
from include.enrichment.run import Plan, RunFolder
from include.enrichment.source import check_source, take_rows

# Seconds between two calls from which on tasks mostly wait: more of them, or a row a task, would only hold workers.
SLOW = 1.0


@dataclass(frozen=True)
class Capacity:
    """What the pool allows: so many mapped tasks at once, each with at most so many requests in flight."""

    tasks: int
    requests_per_task: int = 1


def make_plan(pipeline: Pipeline, job: Job, folder: RunFolder, capacity: Capacity) -> Plan:
    """Fill the run's folder; the plan that was written there has the chunks to call, none for a dry run.

    Raises `BadInputError` or `ConfigError`, with nothing called, where the source or the configuration cannot work. An
    earlier plan of the same run is replaced.
    """
    folder.forget_plan()
    check_output(str(job.output), job.key)
    earlier = job.retry.read_plan() if job.retry else None
    try:
        _check_paths(job)
    except OSError as error:
        if error.errno == errno.EIO:  # a bucket that is not reached may be later
            raise
        # A name that no file can have.
        raise BadInputError(f"`{error.filename}` cannot be used: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise BadInputError(f"source `{job.source}` or output `{job.output}` cannot be used: {error}") from error
    remove_folder(folder.path)
    folder.create()
    with scratch(folder.path) as work, RowWriter(work, folder) as rows:
        copy = work / folder.input.name
        if job.retry and earlier:
            source = earlier.source
            take_over(job.retry, earlier, copy, rows)
        else:
            source = take_rows(pipeline, job, copy, rows)
    chunks = tuple(rows.marks.chunks(_tasks(pipeline, job.rate_limit, rows.marks.rows, capacity)))
    plan = Plan(
        source=source,
        output=str(job.output),
        key=job.key,
        rate_limit=job.rate_limit,
        limit=job.limit,
        dry_run=job.dry_run,
        rows=rows.rows,
        to_call=rows.marks.rows,
        trial=job.own_output and job.limit is not None and rows.rows >= job.limit,
        trim_keys=job.trim_keys,
        expected=job.expected,
        api=job.api,
        api_origin=job.api_origin,
        api_url=job.api_url,
        chunks=() if job.dry_run else chunks,
        requests_per_task=_requests_per_task(pipeline, job.rate_limit, chunks, capacity),
        retry_failed_of=job.retry.run_id if job.retry else None,
        kept=rows.kept,
        max_calls=job.max_calls,
        deadline=job.deadline,
    )
    folder.write_plan(plan)
    return plan


def _tasks(pipeline: Pipeline, rate_limit: str, rows: int, capacity: Capacity) -> int:
    """How many mapped tasks are worth having.

    A row a task for few rows. Else as many as the pool lets run at once, or fewer where these keep the limit
    busy even if every call takes its whole timeout.
    """
    rate = parse_rate(rate_limit)
    if rows <= pipeline.single_rows and (rate is None or rate.interval < SLOW):
        return max(1, rows)
    worth = requests_worth(rate, pipeline.request.timeout)
    return capacity.tasks if worth is None else min(capacity.tasks, math.ceil(worth / capacity.requests_per_task))


def _requests_per_task(pipeline: Pipeline, rate_limit: str, chunks: Sequence[Chunk], capacity: Capacity) -> int:
    """How many requests in flight a task is given: no more than it has rows, and than its limit lets it use."""
    worth = requests_worth(parse_rate(rate_limit), pipeline.request.timeout) or capacity.requests_per_task
    return max(1, min(capacity.requests_per_task, worth, max((chunk.rows for chunk in chunks), default=1)))


def requests_worth(rate: Rate | None, timeout: float) -> int | None:
    """How many requests in flight keep a limit busy even if each takes its whole `timeout`; None without a limit.

    More of them would only wait, and hold starts that nobody else can use.
    """
    return None if rate is None else max(1, math.ceil(timeout / rate.interval))


def _check_paths(job: Job) -> None:
    if isinstance(job.output, Path):
        _check_local_output(job.output)
    if str(job.output) == str(job.source) or _same_file(job.output, job.source):
        raise ConfigError(f"output is `{job.output}`: the source itself, which would be overwritten")
    if job.retry is None:
        check_source(job.source)


def _same_file(one: Place, other: Place) -> bool:
    return isinstance(one, Path) and isinstance(other, Path) and one.resolve() == other.resolve()


def _check_local_output(output: Path) -> None:
    if output.is_dir():
        raise ConfigError(f"output is `{output}`: a folder; allowed is the path of a file to write")
    if output.exists() and not output.is_file():
        raise ConfigError(f"output is `{output}`: not a regular file; allowed is the path of a file to write")
    # Looked at before any call is paid for: the first folder that exists must take what is written below it.
    above = next(folder for folder in output.resolve().parents if folder.exists())
    try:
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:
        raise ConfigError(f"output is `{output}`, but nothing can be written in `{above}`: {error.strerror}") from error
