"""The two pipelines under names of their own, whose retries come after 1 s instead of 10."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from include.enrichment.models import Expected, Pipeline, Request
from include.orchestration.enrichment.form import call_pool, params
from include.orchestration.enrichment.report import RunReportOperator
from include.orchestration.enrichment.tasks import call_api, plan, transform, write_json

PIPELINES = (
    Pipeline(
        name="quick",
        source="data/input.csv",
        output="quick.json",
        key="id",
        request=Request(connection="csv_api", path="/{id}", demo_path="/countries"),
        pool="csv_api",
        rate_limit="2/minute",
    ),
    Pipeline(
        name="quick_symbols",
        source="data/symbols.csv",
        output="quick/{symbol}.json",
        key="symbol",
        request=Request(
            connection="symbol_api",
            path="/query",
            query={"function": "TIME_SERIES_DAILY", "symbol": "{symbol}"},
            demo_path="",
        ),
        expected=Expected(key="Time Series (Daily)", notes=("Information", "Note", "Error Message"), kind="object"),
        pool="symbol_api",
        rate_limit="1/30 seconds",
        transform="include.enrichment.transforms:daily_series",
        delimiter=";",
    ),
)

for PIPELINE in PIPELINES:
    with DAG(
        dag_id=PIPELINE.name,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        max_active_runs=1,
        default_args={"retries": 3, "retry_delay": timedelta(seconds=1)},
        params=params(PIPELINE),
    ):
        answers = call_api.override(**call_pool(PIPELINE)).partial(pipeline=PIPELINE).expand(chunk=plan(PIPELINE))
        counts = transform(PIPELINE)
        published = write_json(PIPELINE, counts)
        answers >> counts
        notify = RunReportOperator(task_id="notify", pipeline=PIPELINE).as_teardown(on_failure_fail_dagrun=True)
        [answers, counts, published] >> notify
