"""What people do with the CSV pipelines, whoever serves it: hand in a file, start, follow, stop, call what failed."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from starlette.requests import Request

from include.common.errors import BadInputError, ConfigError, ConflictError, HeadraceError, TransientError
from include.common.storage import COPY_BYTES, Place, exists, is_local, open_to_read
from include.enrichment.follow import ChunkTask, RunProgress, run_progress
from include.enrichment.forms import Form, make_form
from include.enrichment.history import RunCounts
from include.enrichment.parameters import given_again
from include.enrichment.preview import Preview, preview
from include.enrichment.records import as_array
from include.enrichment.redrive import calls_of_redrive
from include.enrichment.report import Report, read_report
from include.enrichment.run import Plan, RunFolder
from include.enrichment.uploads import Upload, Uploads
from include.web.runs import DagRun

log = logging.getLogger(__name__)

# How much of a file in a bucket is fetched to look at its beginning.
LOOKED_AT = 8 * 1024 * 1024
# All values of a run, which Airflow keeps and lists.
CONF_BYTES = 64 * 1024
# What a run leaves to download: the route's name, then what a person reads.
FILES = {
    "output": "Output (JSON)",
    "errors": "Rows that are not ok (errors.csv)",
    "manifest": "Manifest (manifest.json)",
}


class Airflow(Protocol):
    """What is asked of Airflow; where a `request` is given, as the user who sent it."""

    def list_runs(
        self, dag_ids: Sequence[str], states: Sequence[str], first: int, most: int
    ) -> tuple[Sequence[DagRun], int]:
        """Runs of DAGs in one of the states (none: any) from the `first` on, newest first, and how many there are."""

    def find_run(self, dag_id: str, run_id: str) -> DagRun | None:
        """A run."""

    def running(self, dag_id: str) -> DagRun | None:
        """The run of a DAG that is under way."""

    def is_on(self, dag_id: str) -> bool:
        """Whether a DAG is switched on."""

    def is_ended(self, dag_id: str, run_id: str) -> bool:
        """Whether somebody has ended a run that is queued; it stays so until its turn comes."""

    def calls(self, dag_id: str, run_id: str) -> tuple[str, list[ChunkTask]]:
        """The pool of a run's calls ("" before there are any), and the tasks that make them."""

    async def params(self, request: Request, dag_id: str) -> tuple[Mapping[str, Mapping[str, Any]], bool]:
        """A DAG's parameters by name, each with `value` and `description`, and whether the DAG is switched on."""

    async def trigger(self, request: Request, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run; its id."""

    async def fail(self, request: Request, dag_id: str, run_id: str) -> None:
        """Mark a run as failed."""


@dataclass(frozen=True)
class Redrive:
    """What calling the rows without an answer comes to: how many, the calls in words, what the run is given."""

    rows: int
    calls: str
    conf: Mapping[str, Any]


@dataclass(frozen=True)
class RunView:
    """A run as its page shows it; what is not known yet, or no more, is None. `trouble` says what cannot be read.

    `is_off`: its DAG is switched off, for which a queued run waits. `limit` is the shared limit's name, `used` how many
    calls of its budget are taken, `ahead` the run that a queued one waits for, `files` are by the route's name.
    """

    run: DagRun
    plan: Plan | None = None
    report: Report | None = None
    counts: RunCounts | None = None
    progress: RunProgress | None = None
    limit: str = ""
    used: int | None = None
    stopped: str | None = None
    ahead: DagRun | None = None
    files: Sequence[str] | None = None
    redrive: Redrive | None = None
    trouble: str | None = None
    is_pruned: bool = False
    is_off: bool = False

    @property
    def can_stop(self) -> bool:
        """Whether it can be stopped."""
        return not self.run.is_over and self.stopped is None


@dataclass(frozen=True)
class Download:
    """A file to send: its name, its media type, its bytes."""

    name: str
    media: str
    parts: Iterator[bytes]


@dataclass(frozen=True)
class Service:
    """`dag_ids` are the pipelines; the functions give what may change while the process runs.

    `counts` gives what was kept of runs that have ended, `used` the calls that a run's budget has taken.
    """

    dag_ids: Sequence[str]
    airflow: Airflow
    storage: Callable[[], Place]
    most_upload_bytes: Callable[[], int]
    counts: Callable[[str, Sequence[str]], Mapping[str, RunCounts]]
    used: Callable[[str, str], int | None]

    def uploads(self) -> Uploads:
        """The files that people handed in."""
        return Uploads(self.storage(), self.most_upload_bytes())

    def look_at(
        self, name: str, key: str | None = None, encoding: str | None = None, else_first: bool = False
    ) -> tuple[Upload, Preview]:
        """An upload, and how it is read, as `preview` does; `BadInputError` where there is none, or it cannot be."""
        uploads = self.uploads()
        upload = uploads.find(name)
        with uploads.opened(name, LOOKED_AT) as path:
            cut = path.stat().st_size < upload.bytes
            return upload, _seen(path, name, key, encoding, cut, else_first)

    async def receive(
        self, filename: str, parts: AsyncIterator[bytes], encoding: str | None = None
    ) -> tuple[Upload, Preview]:
        """Store a CSV that comes in parts; `BadInputError` for what is none, and nothing of it is left."""

        def check(path: Path, shown: str) -> Preview:
            return _seen(path, shown, None, encoding)

        return await self.uploads().receive(filename, parts, check)

    async def params(self, request: Request, dag_id: str) -> tuple[Mapping[str, Mapping[str, Any]], bool]:
        """A DAG's own value and description of each parameter, and whether the DAG is switched on."""
        return await self.airflow.params(request, self.known(dag_id))

    def form(self, dag_id: str, params: Mapping[str, Mapping[str, Any]], upload: Upload, seen: Preview) -> Form:
        """The form of a DAG for an upload that was looked at."""
        stem = upload.name.rsplit("-", 1)[0]
        return make_form(dag_id, params, seen.columns, seen.key, stem)

    async def start(self, request: Request, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run; its id. `BadInputError` for a conf that is no JSON, or too large to be shown and kept."""
        try:
            size = len(json.dumps(conf, ensure_ascii=False, allow_nan=False).encode())
        except ValueError as error:
            raise BadInputError(f"the values hold what JSON has no word for: {error}") from error
        if size > CONF_BYTES:
            raise BadInputError(f"the values of a run are {size} bytes; allowed are {CONF_BYTES}")
        return await self.airflow.trigger(request, self.known(dag_id), conf)

    def history(self, dag_id: str, states: Sequence[str], first: int, most: int) -> tuple[list[RunView], int]:
        """Runs of a pipeline ("": of all), the newest first, with what was kept of them, and how many there are."""
        dag_ids = [self.known(dag_id)] if dag_id else self.dag_ids
        runs, total = self.airflow.list_runs(dag_ids, states, first, most)
        kept: dict[tuple[str, str], RunCounts] = {}
        trouble = None
        try:
            # One whose tasks a person has cleared is under way again: what it came to before is not what it comes to.
            over = [run for run in runs if run.is_over]
            for dag_id in {run.dag_id for run in over}:
                found = self.counts(dag_id, [run.run_id for run in over if run.dag_id == dag_id])
                kept |= {(dag_id, run_id): counts for run_id, counts in found.items()}
        except HeadraceError as error:
            trouble = str(error)
        return [RunView(run, counts=kept.get((run.dag_id, run.run_id)), trouble=trouble) for run in runs], total

    def find(self, dag_id: str, run_id: str) -> RunView | None:
        """A run with all that is known of it; None where Airflow has none such."""
        if "\0" in run_id:  # which Postgres takes for no text at all
            return None
        run = self.airflow.find_run(self.known(dag_id), run_id)
        if run is None:
            return None
        view = RunView(run)
        if run.state == "queued":
            ended = "it ends when its turn comes" if self.airflow.is_ended(dag_id, run_id) else None
            view = replace(
                view, ahead=self.airflow.running(dag_id), is_off=not self.airflow.is_on(dag_id), stopped=ended
            )
        for complete in (self._with_folder, self._with_database):
            try:
                view = complete(view)
            except (HeadraceError, OSError) as error:
                view = replace(view, trouble=_said(error))
            except (ValueError, TypeError, KeyError):
                log.exception("the folder of the run `%s`", run_id)
                view = replace(view, trouble="the files of this run are not as a run leaves them: they were changed")
        return view

    def known(self, dag_id: str) -> str:
        """The id of a pipeline; `BadInputError` for any other."""
        if dag_id not in self.dag_ids:
            raise BadInputError(f"the DAG is `{dag_id}`; allowed is one of {', '.join(self.dag_ids)}")
        return dag_id

    async def stop(self, request: Request, view: RunView, who: str) -> None:
        """Have a run call no more; `ConflictError` where it has ended."""
        if view.run.is_over:
            raise ConflictError(f"the run has ended already: {view.run.state}")
        if not await asyncio.to_thread(self._tell_to_stop, view.run, f"stopped by {who}"):
            await self.airflow.fail(request, view.run.dag_id, view.run.run_id)

    def _tell_to_stop(self, run: DagRun, reason: str) -> bool:
        """Tell the tasks of a run that has begun; False where there is nobody to tell yet."""
        folder = self._folder(run)
        try:
            if run.state != "running" or not exists(folder.mark):
                return False
            folder.stop(reason)
        except OSError as error:
            raise TransientError(f"the run's folder cannot be written to: {_said(error)}") from error
        return True

    def download(self, view: RunView, which: str) -> Download:
        """A file of a run; `BadInputError` where it has none such."""
        if view.files is None:
            raise TransientError(view.trouble or "the run's folder was not read")
        if which not in view.files:
            raise BadInputError(f"this run has no file `{which}`; it has {', '.join(view.files) or 'none'}")
        place = _places(self._folder(view.run))[which]
        base = f"{view.run.dag_id}-{view.run.run_id}"
        try:
            stream = open_to_read(place)  # before the answer begins, which can say no more once it has
        except OSError as error:
            raise TransientError(_said(error)) from error
        if which == "output":
            return Download(f"{base}.json", "application/json", as_array(_lines(stream)))
        media = "text/csv" if which == "errors" else "application/json"
        return Download(f"{base}-{place.name}", media, _parts(stream))

    def _with_folder(self, view: RunView) -> RunView:
        storage = self.storage()
        if is_local(storage) and not exists(storage):
            raise TransientError(f"the storage root `{storage}` is not there")
        folder = self._folder(view.run)
        plan = folder.read_plan() if folder.has_plan() else None
        report = read_report(folder) if view.run.is_over else None
        pool, tasks = ("", []) if plan is None or plan.dry_run else self.airflow.calls(view.run.dag_id, view.run.run_id)
        places = _places(folder)
        redrive = None
        if plan and report and report.callable and not plan.dry_run:
            again = {parameter.name: value for parameter, value in given_again(plan, view.run.given)}
            conf = {"retry_failed_of": view.run.run_id, **again}
            redrive = Redrive(report.callable, calls_of_redrive(report.callable, plan), conf)
        return replace(
            view,
            plan=plan,
            report=report,
            progress=run_progress(plan, tasks) if plan and tasks else None,
            limit=f"{pool} {plan.rate_limit}" if plan and pool and plan.rate_limit != "none" else "",
            stopped=folder.stopped() or view.stopped,
            files=[name for name in FILES if view.run.is_over and exists(places[name]) and _is_offered(name, report)],
            redrive=redrive,
            # One that was ended while it was queued never had any.
            is_pruned=view.run.is_over and view.run.began is not None and not exists(folder.mark),
        )

    def _with_database(self, view: RunView) -> RunView:
        counts = self.counts(view.run.dag_id, [view.run.run_id]).get(view.run.run_id) if view.run.is_over else None
        used = self.used(view.run.dag_id, view.run.run_id) if view.plan and view.plan.max_calls else None
        return replace(view, counts=counts, used=used)

    def _folder(self, run: DagRun) -> RunFolder:
        return RunFolder(self.storage(), run.dag_id, run.run_id)


def _places(folder: RunFolder) -> dict[str, Place]:
    """Where the files of `FILES` come from; the output of this run, whatever stands in its place by now."""
    return {"output": folder.records, "errors": folder.errors, "manifest": folder.manifest}


def _is_offered(name: str, report: Report | None) -> bool:
    return name != "errors" or bool(report and report.errors_file)


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"the storage root cannot be read: {error.strerror or error}"
    return str(error)


def _seen(
    path: Path, name: str, key: str | None, encoding: str | None, cut: bool = False, else_first: bool = False
) -> Preview:
    try:
        return preview(path, name, key or None, encoding or None, cut=cut, else_first=else_first)
    except ConfigError as error:  # here a person has named the encoding, and no operator
        raise BadInputError(str(error)) from error


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        yield from stream


def _parts(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while part := stream.read(COPY_BYTES):
            yield part
