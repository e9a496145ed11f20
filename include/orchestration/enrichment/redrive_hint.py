"""The command that calls what a run left without an answer, to be copied into a shell."""

import re
from collections.abc import Mapping
from typing import Any

from include.common.http.redaction import may_hold_key
from include.enrichment.parameters import given_again
from include.enrichment.redrive import calls_of_redrive
from include.enrichment.report import Report
from include.enrichment.run import Plan
from include.orchestration.runner import Again


def redrive_hint(report: Report, plan: Plan, given: Mapping[str, Any], again: Again) -> str | None:
    """How many rows have no answer, how many calls a redrive makes, and its command; None where it makes none."""
    rows = report.callable
    if not rows or plan.dry_run:
        return None
    words, unshown = _variables(plan, given)
    if connection := re.fullmatch("connection `(.*)`", plan.api_origin):
        unshown += [name for name in again.unshown if name == f"AIRFLOW_CONN_{connection.group(1).upper()}"]
    line = again.line({"RETRY_FAILED_OF": report.run_id, **words})
    told = f"to call the {rows} rows without an answer ({calls_of_redrive(rows, plan)}): {line}"
    if unshown:
        told += f"\n  with {' and '.join(unshown)} as for this run, not shown here, for a key may be in it"
    return told


def _variables(plan: Plan, given: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """What the run was given and a redrive does not take from it, and the names of what must not be shown."""
    words: dict[str, str] = {}
    unshown = []
    for parameter, value in given_again(plan, given):
        if parameter.name == "api_url" and may_hold_key(str(value)):
            unshown.append(parameter.variable)
        else:
            words[parameter.variable] = str(value)
    return words, unshown
