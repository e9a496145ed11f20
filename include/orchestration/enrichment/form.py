"""What a CSV pipeline's DAG shows and takes: its parameters, its asset, its pool."""

from typing import Any

from airflow.sdk import Asset, Param

from include.common import durations
from include.common.limits import rate_limit
from include.enrichment.models import Pipeline
from include.orchestration.pools import requests_per_task

MOST_ROWS = 1_000_000_000


def params(pipeline: Pipeline) -> dict[str, Param]:
    """The form that starts a run. A value that breaks it gets 400 from the REST API."""
    return {
        "source": Param(
            pipeline.source,
            type="string",
            minLength=1,
            description="The CSV: a path or a URL; a relative path is looked for in the storage root, then the bundle",
        ),
        "output": Param(
            pipeline.output,
            type="string",
            minLength=1,
            description="The JSON file to publish; below the storage root if relative",
        ),
        "limit": Param(
            None, type=["null", "integer"], minimum=1, maximum=MOST_ROWS, description="Only the first rows; empty: all"
        ),
        "rate_limit": Param(
            None,
            type=["null", "string"],
            pattern=rate_limit.PATTERN,
            description=f"Calls per time, such as 50/second or 1/30 seconds, or none; empty: {pipeline.rate_limit} "
            "(and none for the demo API)",
        ),
        "dry_run": Param(False, type="boolean", description="Plan and report, call nothing"),
        "key": Param(pipeline.key, type="string", minLength=1, description="The column that identifies a row"),
        "api_url": Param(
            None,
            type=["null", "string"],
            pattern="^https?://",
            description=f"The API's address for this run; empty: that of the connection {pipeline.request.connection}",
        ),
        "retry_failed_of": Param(
            None,
            type=["null", "string"],
            minLength=1,
            description="A run id: call only the rows that have no answer in that run, publish all. Source, key "
            "and limit are that run's, and output, rate and address where they are left as they are",
        ),
        "max_calls": Param(
            pipeline.max_calls,
            type=["null", "integer"],
            minimum=1,
            maximum=MOST_ROWS,
            description="Stop after so many calls, retries included, and skip the other rows; empty: no bound",
        ),
        "deadline": Param(
            pipeline.deadline,
            type=["null", "string"],
            pattern=durations.PATTERN,
            description="Make no call later than so long after the run's start, such as 50 minutes; empty: no deadline",
        ),
    }


def output_asset(pipeline: Pipeline) -> Asset:
    """What the pipeline publishes, for DAGs scheduled on `Asset("<its name>")`.

    Where that is stands in each event's `extra`, not in the asset: a run may name another output, and Airflow fails the
    task of an asset that came to another place until its scheduler looks for orphans, which it does once a minute.
    """
    return Asset(pipeline.name)


def call_pool(pipeline: Pipeline) -> dict[str, Any]:
    """The pool of the calls: a task takes as many slots as it has requests in flight."""
    return {"pool": pipeline.pool, "pool_slots": requests_per_task(pipeline.pool)}
