"""What a run of a CSV pipeline was asked for: its parameters, over those of a run whose failed rows it calls again."""

from dataclasses import dataclass, replace

from airflow.sdk import Context

from include.common.durations import parse_duration
from include.common.errors import BadInputError, ConfigError, quoted
from include.common.http.endpoint import Endpoint
from include.common.http.redaction import may_hold_key, redacted
from include.common.storage import exists, listed
from include.enrichment.addressing import spread
from include.enrichment.job import Job
from include.enrichment.models import Pipeline
from include.enrichment.parameters import NAMES, PARAMETERS, over_earlier
from include.enrichment.run import Plan, RunFolder
from include.orchestration import paths
from include.orchestration.enrichment import settings

IN_PROGRESS = ["queued", "running"]


@dataclass(frozen=True)
class Addressed:
    """A pipeline's call with the API's address."""

    pipeline: Pipeline
    endpoint: Endpoint


def addressed(pipeline: Pipeline, api_url: str | None) -> Addressed:
    """The pipeline with its API's address, the run's own or from wherever it is set."""
    request, endpoint = spread(pipeline.request, settings.endpoint(pipeline.request, api_url))
    return Addressed(replace(pipeline, request=request), endpoint)


def make_job(pipeline: Pipeline, context: Context) -> tuple[Addressed, Job]:
    """The run's job; `ConfigError` or `BadInputError` where it was asked for what cannot be."""
    if unknown := sorted(set(context["dag_run"].conf or {}) - set(NAMES)):
        raise ConfigError(f"unknown parameter {quoted(tuple(unknown))}; allowed are {quoted(NAMES)}")
    chosen = {parameter.name: parameter.value(context["params"][parameter.name]) for parameter in PARAMETERS}
    own_address, run_id = chosen["api_url"], chosen["retry_failed_of"]
    earlier = find_run(pipeline, run_id, context) if run_id else None
    before = earlier.read_plan() if earlier else None
    if before:
        chosen = over_earlier(pipeline, chosen, before)
        if before.api_origin == settings.RUN_ORIGIN and not chosen["api_url"]:
            raise ConfigError(
                f"retry_failed_of is `{run_id}`, a run with an `api_url` of its own, which is not kept, for a key may "
                "be in it; give `api_url` again"
            )
    target = addressed(pipeline, chosen["api_url"])
    if before and not own_address:
        _check_address(before, target.endpoint, run_id)
    own_limit = "none" if settings.is_demo(target.endpoint) else pipeline.rate_limit
    return target, Job(
        source=paths.source(chosen["source"]),
        output=paths.output(chosen["output"]),
        key=chosen["key"],
        rate_limit=chosen["rate_limit"] or own_limit,
        own_output=paths.output(chosen["output"]) == paths.output(pipeline.output),
        limit=chosen["limit"],
        dry_run=chosen["dry_run"],
        encoding=chosen["encoding"],
        trim_keys=chosen["trim_keys"],
        expected=chosen["expected"],
        api=redacted(target.endpoint.url),
        api_origin=target.endpoint.origin,
        api_url=_without_keys(chosen["api_url"]),
        max_calls=chosen["max_calls"],
        deadline=parse_duration(chosen["deadline"], "deadline") if chosen["deadline"] else None,
        retry=earlier,
    )


def find_run(pipeline: Pipeline, run_id: str, context: Context) -> RunFolder:
    """The folder of an earlier run of the pipeline, which must have ended; `BadInputError` where that cannot be."""
    storage = paths.storage()
    folder = RunFolder(storage, pipeline.name, run_id)
    name = f"retry_failed_of is `{run_id}`"
    if run_id == context["dag_run"].run_id:
        raise BadInputError(f"{name}: this run itself")
    runs = context["ti"].get_dr_count
    if runs(dag_id=pipeline.name, run_ids=[run_id], states=IN_PROGRESS):
        raise BadInputError(f"{name}: that run has not ended yet; wait for its end, or mark it as failed")
    if exists(folder.mark):
        if not folder.has_plan():
            raise BadInputError(f"{name}: that run ended before anything was called; start it anew")
        return folder
    if runs(dag_id=pipeline.name, run_ids=[run_id]):
        kept = f"the folders of the last {pipeline.keep_runs} runs are kept"
        raise BadInputError(f"{name}: its data is gone (looked for `{folder.path}`; {kept})")
    for other in listed(storage / "runs"):
        if exists(RunFolder(storage, other.name, run_id).mark):
            raise BadInputError(f"{name}: a run of `{other.name}`, not of `{pipeline.name}`")
    raise BadInputError(f"{name}: `{pipeline.name}` has no such run (looked in Airflow's runs and for `{folder.path}`)")


def _check_address(before: Plan, endpoint: Endpoint, run_id: str) -> None:
    """Answers of two APIs in one output is what nobody means."""
    both_demo = before.api_origin == settings.DEMO_ORIGIN and settings.is_demo(endpoint)
    if redacted(endpoint.url) != before.api and not both_demo:
        raise ConfigError(
            f"retry_failed_of is `{run_id}`, which called {before.api} ({before.api_origin}); this run would call "
            f"{redacted(endpoint.url)} ({endpoint.origin}); set `api_url` if that is meant"
        )


def _without_keys(api_url: str | None) -> str | None:
    """An address that may stand in a file: None for one that may hold a key."""
    return None if api_url is None or may_hold_key(api_url) else api_url
