"""DAGs of the stack's tests: one like `csv_processing` that may run twice at once, and one that takes memory."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param, task

from include.enrichment.models import Pipeline, Request
from include.orchestration.enrichment.form import call_pool, params
from include.orchestration.enrichment.report import RunReportOperator
from include.orchestration.enrichment.tasks import call_api, plan, transform, write_json
from include.orchestration.failures import reported

PIPELINE = Pipeline(
    name="probe",
    source="data/input.csv",
    output="probe.json",
    key="id",
    request=Request(connection="csv_api", address_variable="API_URL", path="/{id}", demo_path="/countries"),
    pool="csv_api",
    rate_limit="2/minute",
    transform="include.enrichment.transforms:flatten",
)
RETRIES = {"retries": 3, "retry_delay": timedelta(seconds=5)}

with DAG(
    "probe",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=2,
    default_args=RETRIES,
    params=params(PIPELINE),
):
    answers = call_api.override(**call_pool(PIPELINE)).partial(pipeline=PIPELINE).expand(chunk=plan(PIPELINE))
    counts = transform(PIPELINE)
    answers >> counts
    published = write_json(PIPELINE, counts)
    [answers, counts, published] >> RunReportOperator(task_id="notify", pipeline=PIPELINE).as_teardown(
        on_failure_fail_dagrun=True
    )

with DAG(
    "memory", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), params={"megabytes": Param(1, type="integer")}
):

    @task
    @reported
    def take(params: dict[str, int] | None = None) -> int:
        """Take so many megabytes, all of them written to."""
        assert params
        return sum(len(part) for part in [bytearray(b"x" * 1024 * 1024) for _ in range(params["megabytes"])])

    take()
