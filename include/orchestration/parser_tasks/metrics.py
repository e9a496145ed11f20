"""What Prometheus is told of the parser tasks: the totals that are kept with every change."""

import time
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from include.common.database import connect
from include.orchestration import environment
from include.orchestration.parser_tasks.settings import settings
from include.parser_tasks.changes import APPLIED
from include.parser_tasks.models import OPEN, Refusal, Status
from include.parser_tasks.totals import Totals, read_totals


def measure(_dag_ids: Sequence[str]) -> Iterator[Metric]:
    """The metrics; raises `TransientError` where the application database does not answer."""
    return metrics(read_totals(connect(environment.database_url()), time.time), [*settings().kafka.topics])


def metrics(totals: Totals, parsers: Sequence[str]) -> Iterator[Metric]:
    """The metrics of these totals; a parser without tasks has a backlog of 0."""
    labels = ["parser", "task_type", "status"]
    reached = CounterMetricFamily("headrace_parser_tasks", "Tasks that came to a status.", labels=labels)
    now_open = GaugeMetricFamily("headrace_parser_tasks_open", "Tasks that are in an open status now.", labels=labels)
    spent = SummaryMetricFamily(
        "headrace_parser_task_status_seconds", "How long tasks were in a status that they left.", labels=labels
    )
    backlog = GaugeMetricFamily("headrace_parser_backlog", "Tasks that wait for a worker.", labels=["parser"])
    oldest = GaugeMetricFamily(
        "headrace_parser_oldest_open_task_seconds", "Age of the oldest open task; 0 where none is.", labels=["parser"]
    )
    messages = CounterMetricFamily(
        "headrace_parser_status_messages", "Status messages read, by what came of each.", labels=["result"]
    )
    waiting = dict.fromkeys(parsers, 0)
    for one in totals.statuses:
        values = [one.parser, one.task_type, one.status]
        reached.add_metric(values, one.reached)
        if one.status in OPEN:
            now_open.add_metric(values, one.reached - one.left)
            spent.add_metric(values, one.left, one.seconds)
        if one.status in (Status.CREATED, Status.QUEUED):
            waiting[one.parser] = waiting.get(one.parser, 0) + one.reached - one.left
    for parser, count in waiting.items():
        backlog.add_metric([parser], count)
        oldest.add_metric([parser], totals.oldest_open.get(parser, 0.0))
    for result in (APPLIED, *Refusal):
        messages.add_metric([str(result)], totals.messages.get(result, 0))
    yield from (reached, now_open, spent, backlog, oldest, messages)
