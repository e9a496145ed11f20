"""
### csv_processing

Calls an API for every row of a CSV and publishes the answers as one JSON file, every hour.

**Steps.** `plan` checks and snapshots the CSV. `call_api` calls the API, a task a row up to 20 rows and a task a
chunk beyond; the pool `csv_api` caps the requests in flight, the rate limit counts for all runs together.
`transform` runs pandas over the answers, `write_json` publishes, `notify` tells Telegram in any case.

**It needs** the CSV, and the API's address: the environment variable `API_URL` or the connection `csv_api`
(address, login, headers in its extra). Telegram is told where the connection `telegram_default` or `BOT_TOKEN` and
`CHAT_ID` are set.

**A rerun** (Clear) of `plan` starts the run anew; a retry of `call_api`, or a Clear of one that failed, calls only the
rows that are not answered; a Clear of one that had succeeded calls its rows again. `{"retry_failed_of": "<run id>"}`
calls only what has no answer in that run and publishes the whole. The output is replaced whole, and only by a run in
which enough rows succeeded. `max_calls` and `deadline` bound a run; what is left then is skipped.

**It does not** call a row twice for one answer, follow a redirect to another host, or publish a part.

**When it fails** the log of the failed task and the message say why; `data/runs/csv_processing/<run id>/errors.csv`
lists every row that is not ok. Where 401 or 403 stopped it: mend the credentials and clear the failed `call_api` tasks.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from include.enrichment.models import Pipeline, Request
from include.orchestration.enrichment.form import call_pool, output_alias, params
from include.orchestration.enrichment.report import RunReportOperator
from include.orchestration.enrichment.tasks import call_api, plan, transform, write_json

PIPELINE = Pipeline(
    name="csv_processing",
    source="data/input.csv",
    output="output.json",
    key="id",
    request=Request(connection="csv_api", address_variable="API_URL", demo_path="/countries"),  # the key is appended
    pool="csv_api",
    rate_limit="2/minute",
    transform="include.enrichment.transforms:flatten",
    max_failed_ratio=0.1,
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
