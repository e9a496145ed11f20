"""Taking over what an earlier run came to: its answers are kept, its other rows are to be called."""

from dataclasses import replace
from pathlib import Path

from include.common.errors import BadInputError
from include.common.jsontext import encode_line
from include.enrichment.models import RowStatus
from include.enrichment.results import settle
from include.enrichment.rows import Marks
from include.enrichment.run import Plan, RunFolder
from include.enrichment.source import snapshot


def take_over(earlier: RunFolder, made: Plan, work: Path, folder: RunFolder) -> tuple[Plan, Marks]:
    """Take over an earlier run's rows and answers; what has no answer there and can be called is to be called.

    All of it is copied, so that the earlier run may be pruned, and this one be taken over in its turn.
    """
    if made.dry_run:
        raise BadInputError(f"retry_failed_of is `{earlier.run_id}`: a dry run, in which nothing was called")
    snapshot(earlier.input, work / folder.input.name)
    key = made.columns.index(made.key)
    marks, kept = Marks(), 0
    names = (folder.rows.name, folder.kept.name, folder.rejects.name)
    with (
        (work / names[0]).open("wb") as calls,
        (work / names[1]).open("wb") as answered,
        (work / names[2]).open("wb") as rejects,
    ):
        for row in settle(earlier, made, answers=True):
            if row.status is RowStatus.OK:
                answered.write(
                    encode_line({"n": row.number, "v": row.values, "attempts": row.attempts, "answer": row.answer})
                )
                kept += 1
            elif row.callable:
                line = encode_line({"n": row.number, "key": row.values[key], "v": row.values})
                calls.write(line)
                marks.add(row.number, row.values[key], len(line))
            else:
                rejects.write(encode_line({"n": row.number, "status": row.status, "error": row.error, "v": row.values}))
    return replace(made, to_call=marks.rows, retry_failed_of=earlier.run_id, kept=kept), marks
