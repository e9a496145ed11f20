"""The state machine: what a report makes of a task.

A report moves a task forward or not at all. So reports that come twice, late or in another order than they were made
end in the same table: each status is behind or ahead of each other one, and what has ended stays as it ended.
"""

from include.parser_tasks.models import ENDED, Refusal, Report, Status

_RANK = {Status.CREATED: 0, Status.QUEUED: 1, Status.IN_PROGRESS: 2, **dict.fromkeys(ENDED, 3)}


def refused(status: Status, attempt: int, report: Report) -> Refusal | None:
    """Why `report` changes nothing in a task of this status and attempt; None where the task takes its status.

    A worker may be heard before the task is known to be `queued`: what was reported counts.
    """
    if report.attempt < attempt:
        return Refusal.OLD_ATTEMPT
    if report.attempt > attempt:
        return Refusal.UNKNOWN_ATTEMPT
    if report.status is status:
        return Refusal.DUPLICATE
    if _RANK[status] == _RANK[Status.DONE]:
        return Refusal.ENDED
    return Refusal.BEHIND if _RANK[report.status] < _RANK[status] else None
