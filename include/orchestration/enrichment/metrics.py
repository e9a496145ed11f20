"""What Prometheus is told of the CSV pipelines: the totals that `notify` keeps, of their DAGs."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from include.common.database import connect
from include.enrichment.history import History, Totals
from include.orchestration import environment

# How a run can end, and its rows.
STATES = ("success", "failed", "dry run")
STATUSES = ("ok", "failed", "skipped")


def measure(dag_ids: Sequence[str]) -> Iterator[Metric]:
    """The metrics of these DAGs; raises `TransientError` where the application database does not answer."""
    return metrics(dag_ids, History(connect(environment.database_url())).totals(dag_ids))


def metrics(dag_ids: Sequence[str], totals: Iterable[Totals]) -> Iterator[Metric]:
    """The metrics of DAGs with these totals.

    A counter is there from the first scrape, with 0: of one that begins with its first event, Prometheus misses that.
    """
    found = {(one.dag_id, one.state): one for one in totals}
    by_dag = {dag: [found.get((dag, state)) or Totals(dag, state) for state in STATES] for dag in dag_ids}

    rows = CounterMetricFamily(
        "headrace_csv_rows", "Rows of runs that ended, by how each ended.", labels=["dag_id", "status"]
    )
    calls = CounterMetricFamily("headrace_csv_calls", "Calls of the API that ended.", labels=["dag_id"])
    retries = CounterMetricFamily("headrace_csv_retries", "Calls beyond a row's first in its run.", labels=["dag_id"])
    waits = CounterMetricFamily(
        "headrace_csv_limit_wait_seconds",
        "Time that calls waited for the rate limit, all calls together.",
        labels=["dag_id"],
    )
    runs = CounterMetricFamily("headrace_csv_runs", "Runs that ended.", labels=["dag_id", "state"])
    duration = SummaryMetricFamily(
        "headrace_csv_run_duration_seconds", "How long the runs that ended took.", labels=["dag_id", "state"]
    )
    last_duration = GaugeMetricFamily(
        "headrace_csv_last_run_duration_seconds", "How long the last run took.", labels=["dag_id", "state"]
    )
    last_end = GaugeMetricFamily(
        "headrace_csv_last_run_end_timestamp_seconds", "When the last run ended.", labels=["dag_id", "state"]
    )
    for dag, states in by_dag.items():
        for status in STATUSES:
            rows.add_metric([dag, status], sum(getattr(one, status) for one in states))
        calls.add_metric([dag], sum(one.calls for one in states))
        retries.add_metric([dag], sum(one.retries for one in states))
        waits.add_metric([dag], sum(one.waited for one in states))
        for one in states:
            runs.add_metric([dag, one.state], one.runs)
            duration.add_metric([dag, one.state], one.runs, one.seconds)
            if one.runs:
                last_duration.add_metric([dag, one.state], one.last_seconds)
                last_end.add_metric([dag, one.state], one.last_ended_at)
    yield from (rows, calls, retries, waits, runs, duration, last_duration, last_end)
