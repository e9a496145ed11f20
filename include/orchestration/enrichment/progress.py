"""How many rows of a run have ended, from its plan and what its tasks say of themselves."""

from collections.abc import Callable, Sequence
from typing import Any

from include.common.durations import say_duration
from include.enrichment.follow import BEGUN, ChunkTask, run_progress
from include.enrichment.run import Plan
from include.orchestration.rest import TaskState
from include.orchestration.runner import Standing

# The first task of a run.
PLAN = "plan"
# The task that calls, of which a run has one a chunk.
CALLS = "call_api"


class Rows:
    """Counts whole tasks that have ended, and what those at work say."""

    def __init__(self) -> None:
        self._said: dict[int, ChunkTask] = {}

    def standing(self, plan: Plan, tasks: Sequence[TaskState], ask: Callable[[int], dict[str, Any] | None]) -> Standing:
        """How many rows have ended; `ask` reads what a task of several rows says of its progress."""
        for task in tasks:
            if task.name == CALLS and task.map_index >= 0:
                self._ask_for(plan, task, ask)
        found = run_progress(plan, self._said.values())
        words = [f"{found.failed} rows failed"] * bool(found.failed)
        words += [f"waiting {say_duration(found.waiting)} for the limit {plan.rate_limit}"] * (found.waiting >= 1)
        words += ["waiting for the API to come back"] * found.outage
        return Standing(found.done, plan.to_call, tuple(words))

    def _ask_for(self, plan: Plan, task: TaskState, ask: Callable[[int], dict[str, Any] | None]) -> None:
        """Note what a task says; one that has ended is asked once, for its last word comes with its end."""
        index, known = task.map_index, self._said.get(task.map_index)
        if known and known.state == task.state != "running":
            return
        says = index < len(plan.chunks) and plan.chunks[index].rows > 1 and task.state in BEGUN
        self._said[index] = ChunkTask(index, task.state, ask(index) if says else None)
