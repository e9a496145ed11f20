"""A run of no system, as the launcher follows it: what it says is a test's, what it is told is noted."""

from pathlib import Path

from include.common.parameters import COUNT, INPUT, Parameter
from include.orchestration.runner import Run, Runner, Standing

PARAMETERS = (
    Parameter("size", "SIZE", "How many toys", COUNT),
    Parameter("plan", "PLAN", "How they are made", INPUT),
)


class ToyRun(Run):
    """Calls in its task `make`; `stands` and `told` are what it is at and reports, `asked` how often it was asked."""

    def __init__(self, storage=Path(), dag_id="csv_processing", run_id="r", given=None, stands=None, told=None):
        super().__init__(storage, dag_id, run_id, given or {})
        self.stands, self.told = stands or Standing(2, 4, ("1 toy broken",), "toys"), told
        self.asked, self.stopped, self.late = 0, [], []

    def foreseen(self):
        return f"{self.stands.total} toys take a while" if self.asked else None

    def standing(self, api, tasks):
        self.asked += 1
        return self.stands

    def stop(self, reason):
        self.stopped.append(reason)

    def is_calling(self, tasks):
        return any(task.name == "make" for task in tasks)

    def report(self):
        return self.told

    def report_late(self, seconds):
        self.late.append(seconds)
        return "<b>late</b>"

    def hint(self, again):
        return f"to mend them: {again.line({'MEND': self.run_id})}"


RUNNER = Runner(PARAMETERS, ToyRun)
