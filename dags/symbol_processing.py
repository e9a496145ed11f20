"""
### symbol_processing

Fetches the daily prices of every stock symbol of a CSV and publishes one JSON file a symbol, every hour.

**Steps** are those of `csv_processing`: `plan`, `call_api` (one call in 30 seconds, one at a time), `transform` (a
record a day, with a `Date`), `write_json` (`data/results/<symbol>.json`), `notify`.

**It needs** the CSV (semicolons, a column `symbol`) and the connection `symbol_api`: the API's address, with its key in
the extra as `{"query": {"apikey": "…"}}`. The call and the answer are those of Alpha Vantage.

**A rerun** (Clear) of `plan` starts the run anew; a retry calls only the symbols that are not answered.

**It does not** take an answer of 200 without the prices for an answer (`Information`, `Note`, `Error Message`): it is
retried, then the symbol fails.

**When it fails** the message and `data/runs/symbol_processing/<run id>/errors.csv` say which symbols and why.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from include.enrichment.models import Expected, Pipeline, Request
from include.orchestration.enrichment.form import call_pool, output_alias, params
from include.orchestration.enrichment.report import RunReportOperator
from include.orchestration.enrichment.tasks import call_api, plan, transform, write_json

PIPELINE = Pipeline(
    name="symbol_processing",
    source="data/symbols.csv",
    output="results/{symbol}.json",
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
)

with DAG(
    dag_id=PIPELINE.name,
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10)},
    params=params(PIPELINE),
    tags=["csv"],
    doc_md=__doc__,
):
    answers = call_api.override(**call_pool(PIPELINE)).partial(pipeline=PIPELINE).expand(chunk=plan(PIPELINE))
    counts = transform(PIPELINE)
    published = write_json.override(outlets=[output_alias(PIPELINE)])(PIPELINE, counts)
    answers >> counts
    notify = RunReportOperator(task_id="notify", pipeline=PIPELINE).as_teardown(on_failure_fail_dagrun=True)
    [answers, counts, published] >> notify  # of all, for one that fails ends those behind it, not those beside it
