"""`include/orchestration/toys/runner.py` of the system that a test adds: how its runs are followed."""

from include.toys.parameters import PARAMETERS

from include.common.files import read_json, write_json
from include.common.names import file_name
from include.orchestration.runner import Run, Runner, Standing


class ToysRun(Run):
    """What a run has made is in `toys/<run id>.json` of the storage root; `.stop` beside it ends it."""

    def __init__(self, storage, dag_id, run_id, given):
        super().__init__(storage, dag_id, run_id, given)
        self._made = storage / "toys" / f"{file_name(run_id)}.json"
        self._stop = self._made.with_suffix(".stop")

    def foreseen(self):
        return f"toys that were asked for: {self.given['toys']}"

    def standing(self, api, tasks):
        return Standing(**(read_json(self._made) or {}), units="toys")

    def stop(self, reason):
        write_json(self._stop, {"why": reason})

    def is_calling(self, tasks):
        return any(task.name == "make_toys" and task.state == "running" for task in tasks)

    def report(self):
        made = read_json(self._made) or {"done": 0}
        stop = read_json(self._stop) or {"why": "as many as were asked for"}
        return f"{self.dag_id}: made {made['done']}, {stop['why']}"

    def report_late(self, seconds):
        return self.report()

    def hint(self, again):
        return f"to make one more: {again.line({'TOYS': '1'})}"


RUNNER = Runner(PARAMETERS, ToysRun)
