"""What becomes of Airflow's metrics, and of ours, on the way to the dashboard: the files of deploy/monitoring."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.core import Metric as Family

from include.enrichment.history import Totals
from include.orchestration.enrichment.metrics import metrics as metrics_of_csv
from include.orchestration.parser_tasks.metrics import metrics as metrics_of_parsers
from include.parser_tasks import totals

PROJECT = Path(__file__).resolve().parents[1]
FILES = PROJECT / "deploy" / "monitoring"
RULES = yaml.safe_load((FILES / "statsd.yaml").read_text("utf-8"))["mappings"]
ALERTS = [
    rule for group in yaml.safe_load((FILES / "alerts.yaml").read_text("utf-8"))["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((FILES / "grafana" / "dashboards" / "headrace.json").read_text("utf-8"))
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text("utf-8"))

KINDS = {"c": "counter", "g": "gauge", "ms": "observer"}
# What a metric of Prometheus is kept as, and the labels that each of these has more.
SERIES: dict[str, dict[str, set[str]]] = {
    "counter": {"": set()},
    "gauge": {"": set()},
    "observer": {"_bucket": {"le"}, "_sum": set(), "_count": set()},
}
# PromQL's words that are neither a function (those have a bracket behind them) nor a metric.
WORDS = {"or", "and", "unless", "offset"}


@dataclass(frozen=True)
class Metric:
    """A metric as StatsD has it."""

    name: str
    kind: str
    labels: frozenset[str]


def received(line: str) -> Metric:
    """The metric of a StatsD line with Influx's tags: airflow.ti.start,dag_id=a,task_id=b:1|c."""
    name, _, value = line.partition(":")
    name, *tags = name.split(",")
    return Metric(name, KINDS[value.split("|")[1]], frozenset(tag.partition("=")[0] for tag in tags))


def match(rule: dict[str, Any], metric: Metric) -> re.Match[str] | None:
    """How a rule of statsd.yaml matches a metric, if it does."""
    if rule.get("match_metric_type", metric.kind) != metric.kind:
        return None
    if rule.get("match_type") == "regex":
        return re.search(rule["match"], metric.name)
    parts = (r"([^.]+)" if part == "*" else re.escape(part) for part in rule["match"].split("."))
    return re.fullmatch(r"\.".join(parts), metric.name)


def exported(metrics: Iterable[Metric], rules: list[dict[str, Any]] = RULES) -> dict[str, set[str]]:
    """The series that the exporter makes of metrics, with their labels."""
    found: dict[str, set[str]] = {}
    for metric in metrics:
        # Globs come before regular expressions, whatever their order.
        for rule in sorted(rules, key=lambda rule: rule.get("match_type") == "regex"):
            if matched := match(rule, metric):
                break
        else:
            raise AssertionError(f"no rule is for {metric}")
        if rule.get("action") == "drop":
            continue
        name = matched.expand(re.sub(r"\$\{?(\d)\}?", r"\\g<\1>", rule["name"]))
        for suffix, more in SERIES[metric.kind].items():
            labels = metric.labels | rule.get("labels", {}).keys() | more
            found.setdefault(re.sub(r"\W", "_", name) + suffix, set()).update(labels)
    return found


def measured_of_csv() -> dict[str, set[str]]:
    """The series of `/headrace/metrics` that a run of a CSV makes, with their labels."""
    return _series(metrics_of_csv(["csv_processing"], [Totals("csv_processing", "success", runs=1)]))


def measured_of_parsers() -> dict[str, set[str]]:
    """Those that a task of a parser makes."""
    queued = totals.StatusCount("rss", "latest", "queued", reached=1, left=0, seconds=0.0)
    return _series(metrics_of_parsers(totals.Totals([queued], {}, {}), ["rss"]))


def measured() -> dict[str, set[str]]:
    """All of them."""
    return measured_of_csv() | measured_of_parsers()


def _series(families: Iterable[Family]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def questions() -> Iterator[str]:
    """Every PromQL expression of the dashboard, its variables' and legends' labels included."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
            if shown := re.findall(r"\{\{(\w+)}}", target.get("legendFormat", "")):
                yield f"sum by ({', '.join(shown)}) ({target['expr']})"
    for variable in DASHBOARD["templating"]["list"]:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
        yield f"count by ({label}) ({metric})"


def asked(expression: str) -> tuple[set[str], set[str]]:
    """The series and the labels that an expression names."""
    grouping, matchers = r"\b(?:by|without)\s*\(([^)]*)\)", r"\{([^}]*)\}"
    labels = {label for group in re.findall(grouping, expression) for label in re.findall(r"\w+", group)}
    for inside in re.findall(matchers, expression):
        labels |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))
    bare = re.sub(rf"{grouping}|{matchers}|\[[^]]*\]", " ", expression)
    return set(re.findall(r"\b[a-zA-Z_]\w*\b(?!\s*\()", bare)) - WORDS, labels


def problems(expressions: Iterable[str], series: dict[str, set[str]]) -> list[str]:
    """What expressions ask for in vain."""
    found = set()
    for expression in expressions:
        names, labels = asked(expression)
        assert names, f"no series in {expression}"
        for name in names:
            if name not in series:
                found.add(name)
            else:
                found |= {f"{name} by {label}" for label in labels - series[name]}
    return sorted(found)
