"""The CSV page and the same as JSON: upload a file, see how it is read, start, follow, stop, call what failed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Query
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from include.common.errors import BadInputError, ConflictError, HeadraceError, TransientError
from include.enrichment.preview import Preview
from include.enrichment.service import FILES, RunView, Service
from include.enrichment.uploads import Upload
from include.web.app import build_app as build
from include.web.guard import Access
from include.web.listing import ROWS, Choice, Listing, PageNumber
from include.web.pages import Pages, Tab, is_fragment
from include.web.runs import UNENDED

STATES = Choice("state", "State", {"": "Any", "unended": "Queued or running", "success": "Success", "failed": "Failed"})
# How long after its end a run's report may still come.
SETTLES = timedelta(minutes=1)
GONE = "The upload was broken off; nothing of it was kept."


@dataclass(frozen=True)
class Uploaded:
    """A file that was handed in: `source` is what a run is given to read it."""

    name: str
    source: str
    bytes: int
    preview: Preview


@dataclass(frozen=True)
class Wanted:
    """A run to start; `conf` has the parameters by their names."""

    dag_id: str
    conf: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """A run that was started."""

    dag_id: str
    run_id: str


@dataclass(frozen=True)
class RunJson:
    """A run: its `counts` once it has ended, its `progress` while it calls.

    `rows_without_answer` is how many a redrive would call. It, `problems` and `files` are read in the run's folder:
    null in a list, and where that cannot be read.
    """

    dag_id: str
    run_id: str
    state: str
    started_by: str
    due: datetime
    began: datetime | None
    ended: datetime | None
    seconds: float | None
    counts: dict[str, int] | None
    progress: dict[str, Any] | None
    problems: list[str] | None
    files: list[str] | None
    rows_without_answer: int | None
    trouble: str | None


@dataclass(frozen=True)
class Runs:
    """A page of runs, of `total`."""

    runs: list[RunJson]
    total: int


def build_app(
    tab: Tab, tabs: tuple[Tab, ...], access: Access, service: Service, name_of: Callable[[Any], str] = str
) -> FastAPI:
    """The application; `name_of` is how a user is called."""
    pages = Pages(tab, tabs, Path(__file__).parent / "templates")
    app = build(pages, access)
    app.include_router(_json(service, name_of), prefix="/api/v1")
    app.include_router(_pages(pages, service, name_of))
    return app


def _json(service: Service, name_of: Callable[[Any], str]) -> APIRouter:
    router = APIRouter()

    @router.post("/uploads", status_code=201)
    async def upload(request: Request, filename: str = Query(max_length=4096), encoding: str = "") -> Uploaded:
        """Hand in a CSV: the request's body is the file. Its encoding is found out where none is named."""
        try:
            stored, seen = await service.receive(filename, request.stream(), encoding)
        except ClientDisconnect as error:
            raise HTTPException(400, GONE) from error
        return Uploaded(stored.name, stored.source, stored.bytes, seen)

    @router.get("/uploads/{name}")
    def look_at(name: str, key: str | None = None, encoding: str | None = None) -> Uploaded:
        """How a file is read, with another key column or encoding."""
        stored, seen = service.look_at(name, key, encoding)
        return Uploaded(stored.name, stored.source, stored.bytes, seen)

    @router.get("/runs")
    def runs(dag_id: str = "", state: str = "", page: PageNumber = 1) -> Runs:
        """Runs, the newest first, with their counts."""
        found, total = service.history(dag_id, _states(state), (page - 1) * ROWS, ROWS)
        return Runs([as_json(view) for view in found], total)

    @router.post("/runs", status_code=201)
    async def start(request: Request, wanted: Wanted) -> Started:
        """Start a run with parameters as Airflow's own REST API takes them."""
        return Started(wanted.dag_id, await service.start(request, wanted.dag_id, wanted.conf))

    @router.get("/runs/{dag_id}/{run_id}")
    def run(dag_id: str, run_id: str) -> RunJson:
        """A run, with its progress."""
        return as_json(_found(service, dag_id, run_id))

    @router.post("/runs/{dag_id}/{run_id}/stop", status_code=202)
    async def stop(request: Request, dag_id: str, run_id: str) -> RunJson:
        """Have a run call no more."""
        return as_json(await _stopped(service, request, dag_id, run_id, name_of))

    @router.post("/runs/{dag_id}/{run_id}/redrive", status_code=201)
    async def redrive(request: Request, dag_id: str, run_id: str) -> Started:
        """Start a run that calls only the rows without an answer in this one, and publishes all."""
        return Started(dag_id, await _redriven(service, request, dag_id, run_id))

    @router.get("/runs/{dag_id}/{run_id}/files/{which}")
    def file(dag_id: str, run_id: str, which: str) -> Response:
        """`output`, `errors` or `manifest`."""
        return _sent(service, dag_id, run_id, which)

    return router


def _pages(pages: Pages, service: Service, name_of: Callable[[Any], str]) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    dags = Choice("dag_id", "DAG", {"": "All", **{dag_id: dag_id for dag_id in service.dag_ids}})

    @router.get("/")
    def home(request: Request, dag_id: str = "", state: str = "", page: PageNumber = 1) -> Response:
        found, total = service.history(dag_id, _states(state), (page - 1) * ROWS, ROWS)
        if total and not found:  # a page that was there when its address was made
            page = -(-total // ROWS)
            found, total = service.history(dag_id, _states(state), (page - 1) * ROWS, ROWS)
        values = {
            "listing": Listing(found, total, page, {"dag_id": dag_id, "state": state}),
            "choices": [dags, STATES],
            "is_filtered": bool(dag_id or state),
            "trouble": next((view.trouble for view in found if view.trouble), None),
            "most_mb": service.most_upload_bytes() // 1024**2,
        }
        return pages.render(request, "csv_runs.html" if is_fragment(request) else "csv.html", values)

    @router.get("/new")
    async def new(request: Request, upload: str, dag_id: str = "", encoding: str = "") -> Response:
        dag_id = dag_id or service.dag_ids[0]
        params, is_on = await service.params(request, dag_id)
        key = params.get("key", {}).get("value") or ""
        stored, seen, unreadable = await run_in_threadpool(_looked_at, service, upload, key, encoding, else_first=True)
        form = service.form(dag_id, params, stored, seen).with_text("encoding", encoding)
        values = {"upload": stored, "seen": seen, "unreadable": unreadable, "form": form, "is_on": is_on}
        return pages.render(request, "new.html", {**values, "dag_ids": service.dag_ids, "encoding": encoding})

    @router.get("/preview")
    def preview(request: Request, upload: str, key: str = "", encoding: str = "") -> Response:
        values: dict[str, Any] = {"unreadable": ""}
        try:
            values["upload"], values["seen"] = service.look_at(upload, key, encoding)
        except HeadraceError as error:
            values["unreadable"] = str(error)
        return pages.render(request, "preview.html", values)

    @router.post("/start")
    async def start(request: Request) -> Response:
        given = {name: str(value) for name, value in (await request.form()).items()}
        upload, key, encoding = (given.get(name, "") for name in ("upload", "key", "encoding"))
        stored, seen, unreadable = await run_in_threadpool(_looked_at, service, upload, key, encoding.strip())
        dag_id = given.get("dag_id", "")
        params, _ = await service.params(request, dag_id)
        form = service.form(dag_id, params, stored, seen).filled(given)
        if unreadable:
            form = form.with_error("encoding", unreadable)
        if form.has_errors:
            return pages.render(request, "start_form.html", {"form": form, "upload": stored}, 422)
        conf = {**form.conf(), "source": stored.source, **({"dry_run": True} if given.get("dry_run") else {})}
        return _gone_to(request, form.dag_id, await service.start(request, form.dag_id, conf))

    @router.get("/runs/{dag_id}/{run_id}")
    def run(request: Request, dag_id: str, run_id: str) -> Response:
        view = _found(service, dag_id, run_id)
        values = {"view": view, "files": FILES, "is_settled": _is_settled(view)}
        return pages.render(request, "run_state.html" if is_fragment(request) else "run.html", values)

    @router.get("/runs/{dag_id}/{run_id}/stop")
    def ask_to_stop(request: Request, dag_id: str, run_id: str) -> Response:
        _found(service, dag_id, run_id)
        sentence = (
            "No further call is made; those under way end. The run then counts as failed, and nothing is published. "
            "What was answered is kept, so that a later run may call the rest."
        )
        values = {"title": "Stop this run?", "sentence": sentence, "verb": "Stop", "kind": "danger"}
        return pages.render(request, "dialog.html", {**values, "action": _address(request, dag_id, run_id) + "/stop"})

    @router.post("/runs/{dag_id}/{run_id}/stop")
    async def stop(request: Request, dag_id: str, run_id: str) -> Response:
        await _stopped(service, request, dag_id, run_id, name_of)
        return Response(status_code=204, headers={"HX-Trigger": '{"rowsChanged": {}, "closeDialog": {}}'})

    @router.get("/runs/{dag_id}/{run_id}/redrive")
    def ask_to_redrive(request: Request, dag_id: str, run_id: str) -> Response:
        redrive = _redrive(_found(service, dag_id, run_id))
        sentence = (
            f"{redrive.rows:,} rows have no answer in this run. Calling them makes {redrive.calls}; "
            "the answers that are there are kept, and all of it is published."
        )
        values = {"title": "Call only what has no answer?", "sentence": sentence, "verb": "Start", "kind": "primary"}
        return pages.render(
            request, "dialog.html", {**values, "action": _address(request, dag_id, run_id) + "/redrive"}
        )

    @router.post("/runs/{dag_id}/{run_id}/redrive")
    async def redrive(request: Request, dag_id: str, run_id: str) -> Response:
        return _gone_to(request, dag_id, await _redriven(service, request, dag_id, run_id))

    @router.get("/runs/{dag_id}/{run_id}/files/{which}")
    def file(dag_id: str, run_id: str, which: str) -> Response:
        return _sent(service, dag_id, run_id, which)

    return router


def as_json(view: RunView) -> RunJson:
    """A run as the JSON API tells of it."""
    run, progress, is_read = view.run, view.progress, view.files is not None
    return RunJson(
        dag_id=run.dag_id,
        run_id=run.run_id,
        state=run.state,
        started_by=run.who,
        due=run.due,
        began=run.began,
        ended=run.ended,
        seconds=run.seconds(),
        counts=_counts(view),
        progress=None
        if progress is None or run.is_over
        else {
            "done": progress.done,
            "total": progress.total,
            "failed": progress.failed,
            "per_second": progress.per_second,
            "waiting_seconds": progress.waiting,
            "limit": view.limit,
            "eta_seconds": progress.eta,
        },
        problems=(list(view.report.problems) if view.report else []) if is_read else None,
        files=None if view.files is None else list(view.files),
        rows_without_answer=(view.redrive.rows if view.redrive else 0) if is_read else None,
        trouble=view.trouble,
    )


def _counts(view: RunView) -> dict[str, int] | None:
    found = view.counts or (view.report and view.report.counts)
    return {name: getattr(found, name) for name in ("rows", "ok", "failed", "skipped")} if found else None


def _states(state: str) -> tuple[str, ...]:
    if state not in STATES.options:
        raise BadInputError(f"the state is `{state}`; allowed is one of {', '.join(filter(None, STATES.options))}")
    return UNENDED if state == "unended" else (state,) if state else ()


def _found(service: Service, dag_id: str, run_id: str) -> RunView:
    view = service.find(dag_id, run_id)
    if view is None:
        raise HTTPException(404, f"Airflow has no run `{run_id}` of {dag_id}; it may have been deleted.")
    return view


def _looked_at(
    service: Service, name: str, key: str, encoding: str, else_first: bool = False
) -> tuple[Upload, Preview, str]:
    """An upload as it is read; where it cannot be in this encoding, why, and how it is without one named."""
    try:
        return *service.look_at(name, key, encoding, else_first), ""
    except HeadraceError as error:
        if not encoding:
            raise
        return *service.look_at(name, key, else_first=else_first), str(error)


def _redrive(view: RunView) -> Any:
    if not view.run.is_over:
        raise ConflictError(f"the run is still {view.run.state}: which rows have no answer is known when it has ended")
    if view.files is None:
        raise TransientError(view.trouble or "the run's folder was not read")
    if view.is_pruned:
        raise BadInputError("the files of this run are no longer kept, and with them which rows have no answer")
    if view.redrive is None:
        raise BadInputError("no row of this run can be called again: each has its answer, or no call can give it one")
    return view.redrive


async def _stopped(
    service: Service, request: Request, dag_id: str, run_id: str, name_of: Callable[[Any], str]
) -> RunView:
    view = await run_in_threadpool(_found, service, dag_id, run_id)
    await service.stop(request, view, name_of(request.state.visitor.user))
    return await run_in_threadpool(_found, service, dag_id, run_id)


async def _redriven(service: Service, request: Request, dag_id: str, run_id: str) -> str:
    view = await run_in_threadpool(_found, service, dag_id, run_id)
    conf: Mapping[str, Any] = _redrive(view).conf
    return await service.start(request, dag_id, conf)


def _sent(service: Service, dag_id: str, run_id: str, which: str) -> Response:
    found = service.download(_found(service, dag_id, run_id), which)
    disposition = f"attachment; filename*=UTF-8''{quote(found.name)}"
    return StreamingResponse(found.parts, media_type=found.media, headers={"Content-Disposition": disposition})


def _is_settled(view: RunView) -> bool:
    if not view.run.is_over:
        return False
    late = view.run.ended is None or datetime.now(UTC) - view.run.ended > SETTLES
    return bool(view.report) or view.is_pruned or late


def _address(request: Request, dag_id: str, run_id: str) -> str:
    return f"{request.scope.get('root_path', '')}/runs/{quote(dag_id)}/{quote(run_id)}"


def _gone_to(request: Request, dag_id: str, run_id: str) -> Response:
    """Have htmx open the page of a run."""
    return Response(status_code=204, headers={"HX-Redirect": _address(request, dag_id, run_id)})
