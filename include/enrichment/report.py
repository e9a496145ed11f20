"""What a run has to tell: one screen for Telegram, one summary for a terminal, one file for whoever asks later."""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from include.common.durations import say_duration
from include.common.errors import BadInputError
from include.common.files import read_json, write_json
from include.common.limits.rate_limit import parse_rate
from include.common.storage import exists
from include.common.telegram import escape
from include.common.text import one_line, shown
from include.enrichment.models import Counts
from include.enrichment.results import read_manifest, read_tally, tally
from include.enrichment.run import Plan, RunFolder

SHOWN_ERRORS = 3
# Characters of a line with a path or an address, which should stay whole.
LINE = 600


@dataclass(frozen=True)
class Report:
    """A run as people are told of it. `state` is "success", "failed" or "dry run"; `seconds` since its start.

    `outputs` are the first of the `files` that were published,
    `problems` the sentences of the tasks that failed, `first_errors` those of the first rows that did.
    `callable`, `skipped`, `calls`, `retries` and `waited` are as a `Tally`'s. `partial`: the outputs are a part,
    `in_place` of the whole or beside the last one. `began` is when the folder was made, in seconds since the epoch.
    """

    pipeline: str
    run_id: str
    state: str
    seconds: float
    counts: Counts | None = None
    outputs: list[str] = field(default_factory=list)
    files: int = 0
    problems: list[str] = field(default_factory=list)
    first_errors: list[str] = field(default_factory=list)
    errors_file: str | None = None
    partial: bool = False
    in_place: bool = True
    link: str | None = None
    note: str | None = None
    callable: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    retries: int = 0
    waited: float = 0.0
    began: float = 0.0

    def write(self, folder: RunFolder) -> None:
        """As `report.json` of the run's folder."""
        if not exists(folder.mark):  # a run that ended before its plan
            folder.create()
        write_json(folder.report, asdict(self))

    def as_html(self) -> str:
        """For Telegram's HTML mode."""
        mark = {"success": "✅", "dry run": "📝"}.get(self.state, "❌")
        lines = [f"{mark} <b>{escape(self.pipeline)}</b>: {self.state}", f"run {escape(self.run_id)}"]
        lines += [escape(line) for line in self._facts()]
        if self.note and self.state != "dry run":
            lines.append(escape(shown(self.note, LINE)))
        if self.link:
            lines.append(f'<a href="{html.escape(self.link)}">open the run</a>')
        return "\n".join(lines)

    def as_text(self) -> str:
        """For a terminal and the task's log."""
        return "\n".join([f"{self.pipeline}: {self.state}", *(f"  {line}" for line in self._facts())])

    def _facts(self) -> list[str]:
        lines = []
        if self.counts:
            counts = self.counts
            lines.append(f"rows {counts.rows}, ok {counts.ok}, failed {counts.failed}, skipped {counts.skipped}")
        elif self.state == "dry run" and self.note:
            lines.append(self.note)
        if self.skipped:
            reasons = [f"{count} {one_line(reason)}" for reason, count in self.skipped.items()]
            lines.append(f"skipped: {'; '.join(reasons[:SHOWN_ERRORS])}" + "; …" * (len(reasons) > SHOWN_ERRORS))
        lines.append(f"took {say_duration(self.seconds)}")
        lines += [f"error: {one_line(problem)}" for problem in self.problems[:SHOWN_ERRORS]]
        lines += [f"- {one_line(error)}" for error in self.first_errors[:SHOWN_ERRORS]]
        part = ""
        if self.partial and self.counts:
            where = ", in the output's place" if self.in_place else "; the last whole output stays"
            part = f" (a part: {self.counts.ok} of {self.counts.rows} rows{where})"
        if self.files == 1:
            lines.append(f"output: {self.outputs[0]}{part}")
        elif self.files:
            lines.append(f"output: {self.files} files, the first {self.outputs[0]}{part}")
        if self.errors_file:
            lines.append(f"rows that are not ok: {self.errors_file}")
        return [shown(line, LINE) for line in lines]


def read_report(folder: RunFolder) -> Report | None:
    """What `Report.write` wrote, None where there is nothing yet."""
    found = read_json(folder.report)
    if found is None:
        return None
    return Report(**{**found, "counts": Counts(**found["counts"]) if found["counts"] else None})


def report_of(
    folder: RunFolder, pipeline: str, seconds: float, problems: Sequence[str] = (), link: str | None = None
) -> Report:
    """What the run in `folder` came to after `seconds`; `problems` are the sentences of the tasks that failed."""
    # The manifest, not what the tasks say: an earlier pass said it too, before a person cleared tasks.
    manifest = read_manifest(folder)
    found = note = None
    try:
        plan = folder.read_plan()
    except BadInputError:
        state = "failed"
    else:
        found = None if plan.dry_run else read_tally(folder) or tally(folder, plan)
        succeeded = manifest is not None and manifest["state"] == "success"
        state = "dry run" if plan.dry_run else ("success" if succeeded else "failed")
        note = foreseen(plan)
        if plan.dry_run:
            answered = f"{plan.kept} of them answered in {plan.retry_failed_of}, " if plan.retry_failed_of else ""
            others = plan.rows - plan.to_call - plan.kept
            note = f"{plan.rows} rows, {answered}{others} of them not to be called; {note}"
    if state == "failed" and not problems:
        problems = [
            folder.stopped() or "the run was stopped, or a task ended without a sentence; the tasks' logs say more"
        ]
    return Report(
        pipeline=pipeline,
        run_id=folder.run_id,
        state=state,
        seconds=seconds,
        counts=found.counts if found else None,
        outputs=[output["path"] for output in manifest["outputs"]] if manifest else [],
        files=manifest["files"] if manifest else 0,
        problems=list(problems) if state == "failed" else [],
        first_errors=found.first_errors if found else [],
        partial=bool(manifest and manifest.get("partial")),
        in_place=not manifest or manifest.get("in_place", True),
        errors_file=str(folder.errors) if found and found.counts.ok < found.counts.rows else None,
        link=link,
        note=note,
        callable=found.callable if found else 0,
        skipped=found.skipped if found else {},
        calls=found.calls if found else 0,
        retries=found.retries if found else 0,
        waited=found.waited if found else 0.0,
        began=folder.began() or 0.0,
    )


def foreseen(plan: Plan) -> str:
    """The rate limit of a run in words, with the time that its calls will take at least."""
    to = f" to {plan.api} ({plan.api_origin})" if plan.api else ""
    rate = parse_rate(plan.rate_limit)
    if rate is None:
        return f"no rate limit: {plan.to_call} calls{to}"
    calls = min(plan.to_call, plan.max_calls or plan.to_call)
    seconds = rate.seconds_for(calls)
    takes = f"take at least {say_duration(seconds)}" if seconds >= 1 else "fit in a second"
    return f"limit {plan.rate_limit}: {calls} calls{to} {takes}"
