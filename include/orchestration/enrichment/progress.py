"""How many rows of a run have ended, from its plan and what its tasks say of themselves."""

from collections.abc import Callable, Sequence
from typing import Any

from include.common.durations import say_duration
from include.enrichment.run import Plan
from include.orchestration.rest import TaskState
from include.orchestration.runner import Standing

# The task that calls, of which a run has one a chunk.
CALLS = "call_api"


class Rows:
    """Counts whole tasks that have ended, and what those at work say."""

    def __init__(self) -> None:
        self._said: dict[int, dict[str, Any]] = {}

    def standing(self, plan: Plan, tasks: Sequence[TaskState], ask: Callable[[int], dict[str, Any] | None]) -> Standing:
        """How many rows have ended; `ask` reads what a task of several rows says of its progress."""
        done = failed = 0
        waiting, outage = 0.0, False
        for index, state in ((task.map_index, task.state) for task in tasks if _is_of_a_chunk(task)):
            rows = plan.chunks[index].rows if index < len(plan.chunks) else 0
            # A task of one row says nothing of its own; a chunk's last word comes with its end.
            if rows > 1 and state in ("running", "up_for_retry", "success", "failed"):
                if state == "running" or not self._final(index, state):
                    self._said[index] = {**(ask(index) or {}), "state": state}
                said = self._said.get(index, {})
                done += said.get("done", 0)
                failed += said.get("failed", 0)
                waiting = max(waiting, said.get("waiting", 0.0) if state == "running" else 0.0)
                outage = outage or (state == "running" and said.get("outage", False))
            elif state == "success":
                done += rows
        words = [f"{failed} rows failed"] * bool(failed)
        words += [f"waiting {say_duration(waiting)} for the limit {plan.rate_limit}"] * (waiting >= 1)
        words += ["waiting for the API to come back"] * outage
        return Standing(done, plan.to_call, tuple(words))

    def _final(self, index: int, state: str | None) -> bool:
        return self._said.get(index, {}).get("state") == state


def _is_of_a_chunk(task: TaskState) -> bool:
    return task.name == CALLS and task.map_index >= 0
