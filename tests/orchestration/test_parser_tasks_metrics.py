"""What Prometheus is told of the parser tasks, as its own parser reads it."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from include.orchestration.parser_tasks.metrics import metrics
from include.parser_tasks.models import Refusal, Status
from include.parser_tasks.totals import StatusCount, Totals

TOTALS = Totals(
    statuses=[
        StatusCount("rss", "latest", Status.CREATED, 10, 9, 4.5),
        StatusCount("rss", "latest", Status.QUEUED, 9, 7, 90.0),
        StatusCount("rss", "latest", Status.IN_PROGRESS, 7, 6, 12.0),
        StatusCount("rss", "latest", Status.DONE, 5, 0, 0.0),
        StatusCount("rss", "latest", Status.CANCELLED, 1, 0, 0.0),
    ],
    messages={"applied": 13, Refusal.DUPLICATE: 2},
    oldest_open={"rss": 61.5},
)
EMPTY = Totals(statuses=[], messages={}, oldest_open={})


class Told:
    def __init__(self, families):
        self.families = list(families)

    def collect(self):
        return self.families


def registry(totals):
    made = CollectorRegistry()
    made.register(Told(metrics(totals, ["rss", "vk"])))
    return made


def told(totals):
    """Every sample by its name and its labels, as Prometheus reads them."""
    text = generate_latest(registry(totals)).decode()
    return {(one.name, *one.labels.values()): one.value for family in parse(text) for one in family.samples}


def by_status(name):
    samples = [one for family in parse(generate_latest(registry(TOTALS)).decode()) for one in family.samples]
    return {one.labels["status"]: one.value for one in samples if one.name == name}


def test_tasks_are_told_by_parser_type_and_status():
    found = told(TOTALS)
    reached = {"created": 10, "queued": 9, "in_progress": 7, "done": 5, "cancelled": 1}
    assert by_status("headrace_parser_tasks_total") == reached
    assert by_status("headrace_parser_tasks_open") == {"created": 1, "queued": 2, "in_progress": 1}
    assert by_status("headrace_parser_task_status_seconds_sum") == {"created": 4.5, "queued": 90, "in_progress": 12}
    assert found["headrace_parser_backlog", "rss"] == 3
    assert found["headrace_parser_oldest_open_task_seconds", "rss"] == 61.5
    assert found["headrace_parser_status_messages_total", "applied"] == 13
    assert found["headrace_parser_status_messages_total", "duplicate"] == 2


def test_without_tasks_every_parser_has_its_backlog_and_every_refusal_its_count():
    found = told(EMPTY)
    assert {key[1]: value for key, value in found.items() if key[0] == "headrace_parser_backlog"} == {"rss": 0, "vk": 0}
    counted = {key[1] for key in found if key[0] == "headrace_parser_status_messages_total"}
    assert counted == {"applied", *Refusal}


def test_openmetrics_reads_them_as_well():
    text = openmetrics.generate_latest(registry(TOTALS)).decode()
    assert "headrace_parser_tasks" in {family.name for family in parse_openmetrics(text)}
