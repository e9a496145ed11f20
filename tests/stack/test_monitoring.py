"""What Prometheus is told of runs on the stack: the metrics of every panel of ours, for its token."""

import httpx
from prometheus_client.parser import text_string_to_metric_families as parse_metrics

from tests.monitoring import DASHBOARD, measured_of_csv

OURS = " ".join(
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"] if "headrace_" in target["expr"]
)


def scraped(stack, token):
    """What a scrape with a token is answered."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{stack.web}/headrace/metrics", headers=headers, timeout=30, trust_env=False)


def calls(stack):
    """How many calls of csv_processing are told of, and the names of all samples."""
    answer = scraped(stack, stack.secret("HEADRACE_METRICS_TOKEN"))
    assert answer.status_code == 200, answer.text
    samples = [sample for family in parse_metrics(answer.text) for sample in family.samples]
    of_calls = [one for one in samples if one.name == "headrace_csv_calls_total"]
    by_dag = {one.labels["dag_id"]: one.value for one in of_calls}
    return by_dag["csv_processing"], {one.name for one in samples}


def test_a_run_that_has_ended_is_counted_for_every_panel(stack):
    before, _ = calls(stack)
    stack.demo.behave()
    made = stack.make("trigger", LIMIT="3", OUTPUT="counted.json", WAIT="1")
    assert made.status == 0, made.output
    after, names = calls(stack)
    assert after - before == 3
    assert [name for name in measured_of_csv() if name not in names] == []
    assert [name for name in measured_of_csv() if name not in OURS] == []


def test_a_wrong_token_gets_nothing(stack):
    assert scraped(stack, "wrong").status_code == 401
