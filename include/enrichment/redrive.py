"""Taking over what an earlier run came to: its answers are kept, its other rows are to be called."""

from pathlib import Path

from include.common.errors import BadInputError
from include.enrichment.models import RowStatus
from include.enrichment.results import settle
from include.enrichment.rows import RowWriter
from include.enrichment.run import Plan, RunFolder
from include.enrichment.source import snapshot


def calls_of_redrive(rows: int, plan: Plan) -> str:
    """How many calls a redrive of `rows` rows without an answer makes, in words."""
    if plan.max_calls and plan.max_calls < rows:
        return f"at most {plan.max_calls} calls"
    return f"{rows} calls, more where one is retried"


def take_over(earlier: RunFolder, plan: Plan, copy: Path, rows: RowWriter) -> None:
    """Write the rows and answers of `earlier`, whose plan that was; its input goes to `copy`.

    What has no answer there and can be called is to be called. All of it is copied, so that the earlier run may be
    pruned, and this one be taken over in its turn.
    """
    if plan.dry_run:
        raise BadInputError(f"retry_failed_of is `{earlier.run_id}`: a dry run, in which nothing was called")
    snapshot(earlier.input, copy)
    key = plan.source.columns.index(plan.key)
    for row in settle(earlier, plan, answers=True):
        if row.status is RowStatus.OK:
            rows.keep(row.number, row.values, row.attempts, row.answer)
        elif row.callable:
            rows.call(row.number, row.values[key], row.values)
        else:
            rows.reject(row.number, row.status, str(row.error), row.values)
