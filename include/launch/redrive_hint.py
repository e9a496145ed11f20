"""The command that calls what a run left without an answer, to be copied into a shell."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from include.common.http.redaction import may_hold_key
from include.enrichment.parameters import PARAMETERS
from include.enrichment.report import Report
from include.enrichment.run import Plan
from include.launch.run_request import DEFAULT_DAG, RunRequest

# What a redrive is not given anew: it has a run to retry, and is to call.
NOT_AGAIN = ("retry_failed_of", "dry_run")


@dataclass(frozen=True)
class Again:
    """How a run is started once more: the command, and the variables that it needs beside those of the run.

    `unshown` are those that are needed and may be secret.
    """

    command: str
    variables: Mapping[str, str] = field(default_factory=dict)
    unshown: frozenset[str] = frozenset()


def redrive_hint(report: Report, plan: Plan, request: RunRequest, again: Again) -> str | None:
    """How many rows have no answer, how many calls a redrive makes, and its command; None where it makes none."""
    rows = report.callable
    if not rows or plan.dry_run:
        return None
    words, unshown = _variables(plan, request)
    words = {"RETRY_FAILED_OF": report.run_id, **words, **again.variables}
    if request.dag_id != DEFAULT_DAG:
        words["DAG"] = request.dag_id
    if connection := re.fullmatch("connection `(.*)`", plan.api_origin):
        unshown += [name for name in again.unshown if name == f"AIRFLOW_CONN_{connection.group(1).upper()}"]
    bound = plan.max_calls if plan.max_calls and plan.max_calls < rows else None
    calls = f"at most {bound} calls" if bound else f"{rows} calls, more where one is retried"
    line = " ".join([again.command, *(f"{name}={shlex.quote(text)}" for name, text in words.items())])
    told = f"to call the {rows} rows without an answer ({calls}): {line}"
    if unshown:
        told += f"\n  with {' and '.join(unshown)} as for this run, not shown here, for a key may be in it"
    return told


def _variables(plan: Plan, request: RunRequest) -> tuple[dict[str, str], list[str]]:
    """What the run was given and a redrive does not take from it, and the names of what must not be shown."""
    words: dict[str, str] = {}
    unshown = []
    for parameter in PARAMETERS:
        value = request.given.get(parameter.name)
        carried = parameter.earlier is not None and parameter.earlier(plan) is not None
        if value is None or carried or parameter.name in NOT_AGAIN:
            continue
        if parameter.name == "api_url" and may_hold_key(str(value)):
            unshown.append(parameter.variable)
        else:
            words[parameter.variable] = str(value)
    return words, unshown
