"""The runs of the CSV pipelines, as `make run` and `make trigger` start and follow them."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from include.common.database import connect
from include.common.errors import BadInputError, HeadraceError
from include.common.storage import Place, exists
from include.enrichment import report
from include.enrichment.history import History, counts_of
from include.enrichment.parameters import PARAMETERS
from include.enrichment.progress import KEPT_AS
from include.enrichment.run import Plan, RunFolder
from include.orchestration import environment
from include.orchestration.enrichment.progress import CALLS, Rows
from include.orchestration.enrichment.redrive_hint import redrive_hint
from include.orchestration.rest import AirflowApi, TaskState
from include.orchestration.runner import Again, Run, Runner, Standing

log = logging.getLogger(__name__)


class PipelineRun(Run):
    """A run of a pipeline, whose folder says what was planned and what it came to."""

    def __init__(self, storage: Place, dag_id: str, run_id: str, given: Mapping[str, Any]) -> None:
        super().__init__(storage, dag_id, run_id, given)
        self._folder = RunFolder(storage, dag_id, run_id)
        self._rows = Rows()
        self._plan: Plan | None = None

    def foreseen(self) -> str | None:
        """The rate limit; where it is the DAG's own, how to lift it."""
        plan = self._find_plan()
        if plan is None:
            return None
        own = "rate_limit" not in self.given and plan.rate_limit != "none"
        return report.foreseen(plan) + " (the DAG's own limit; RATE=none or RATE=50/second changes it)" * own

    def standing(self, api: AirflowApi, tasks: Sequence[TaskState]) -> Standing:
        """How many of the rows that are called have ended."""

        def ask(index: int) -> dict[str, Any] | None:
            said: dict[str, Any] | None = api.kept_state(self.dag_id, self.run_id, CALLS, index, KEPT_AS)
            return said

        plan = self._find_plan()
        return self._rows.standing(plan, tasks, ask) if plan and plan.to_call and not plan.dry_run else Standing()

    def stop(self, reason: str) -> None:
        """Tell the tasks, where the run has begun."""
        if exists(self._folder.mark):
            self._folder.stop(reason)

    def is_calling(self, tasks: Sequence[TaskState]) -> bool:
        """Whether a chunk is at work."""
        return any(task.name == CALLS and task.state == "running" for task in tasks)

    def report(self) -> str | None:
        """`report.json` as text."""
        found = report.read_report(self._folder)
        return found.as_text() if found else None

    def report_late(self, seconds: float) -> str:
        """Writes `report.json` and `errors.csv`, and keeps the counts."""
        made = report.report_of(self._folder, self.dag_id, seconds)
        made.write(self._folder)
        try:
            History(connect(environment.database_url())).keep(counts_of(made, datetime.now(UTC)))
        except HeadraceError as error:  # people are told in any case
            log.warning("the run's counts were not kept: %s", error)
        return made.as_html()

    def hint(self, again: Again) -> str | None:
        """How to call what has no answer."""
        found = report.read_report(self._folder)
        if not found or not found.callable:
            return None
        return redrive_hint(found, self._folder.read_plan(), self.given, again)

    def _find_plan(self) -> Plan | None:
        if self._plan is None:
            with contextlib.suppress(BadInputError):  # not yet, or never: a run that failed in `plan` has none
                self._plan = self._folder.read_plan()
        return self._plan


RUNNER = Runner(PARAMETERS, PipelineRun)
