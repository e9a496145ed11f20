"""What a CSV pipeline's DAG shows and takes: its parameters, its asset, its pool."""

from typing import Any

from airflow.sdk import Asset, AssetAlias, Param

from include.enrichment.models import Pipeline
from include.enrichment.parameters import PARAMETERS
from include.orchestration.pools import slots, slots_per_task


def params(pipeline: Pipeline) -> dict[str, Param]:
    """The form that starts a run. A value that breaks it gets 400 from the REST API."""
    return {
        parameter.name: Param(
            parameter.default(pipeline),
            title=parameter.title,
            section=parameter.section,
            description=parameter.explained(pipeline),
            **parameter.schema(),
        )
        for parameter in PARAMETERS
    }


def output_alias(pipeline: Pipeline) -> AssetAlias:
    """The outlet of what writes the output: an alias, for an asset as an outlet has an event of each success."""
    return AssetAlias(pipeline.name)


def output_asset(pipeline: Pipeline) -> Asset:
    """What the pipeline publishes, for DAGs scheduled on `Asset("<its name>")`.

    Where that is stands in each event's `extra`, not in the asset: a run may name another output, and Airflow fails the
    task of an asset that came to another place until its scheduler looks for orphans, which it does once a minute.
    """
    return Asset(pipeline.name)


def call_pool(pipeline: Pipeline) -> dict[str, Any]:
    """The pool of the calls: a task takes as many slots as it has requests in flight; `plan` may say otherwise."""
    return {"pool": pipeline.pool, "pool_slots": slots_per_task(slots(pipeline.pool))}
