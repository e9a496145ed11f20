"""The pages of sources and of their schedules: the list, the dialogs, the switches."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import Response

from include.common.errors import BadInputError, ConflictError
from include.parser_tasks.catalog import ScheduleGiven, SourceGiven
from include.parser_tasks.forms import Form, filled, schedule_form, schedule_given, source_form, source_given
from include.parser_tasks.queries import SourceFilter
from include.parser_tasks.schedule import words
from include.parser_tasks.service import Service
from include.parser_tasks.task_pages import CHANGED, ROWS_CHANGED, choices_of, said
from include.parser_tasks.task_query import Cursor, Id, Text, turned
from include.parser_tasks.views import ScheduleRow, SourceRow
from include.web.listing import Choice
from include.web.pages import Pages, is_fragment

PathId = Annotated[int, Path(ge=1, le=2**63 - 1)]
SHOWN = Choice("shown", "Show", {"": "All", "on": "Switched on", "off": "Switched off", "failing": "Failing"})
REFUSED = (BadInputError, ConflictError)


async def _typed(request: Request) -> Mapping[str, str]:
    return {name: str(value) for name, value in (await request.form()).items()}


Typed = Annotated[Mapping[str, str], Depends(_typed)]


def router(pages: Pages, service: Service, name_of: Callable[[Any], str]) -> APIRouter:
    """The routes below `/sources` and `/schedules`, and `/preview`."""
    router = APIRouter()
    _add_sources(router, pages, service, name_of)
    _add_schedules(router, pages, service)
    return router


def _add_sources(router: APIRouter, pages: Pages, service: Service, name_of: Callable[[Any], str]) -> None:
    @router.get("/sources")
    def sources(
        request: Request,
        q: Text = "",
        parser: Text = "",
        task_type: Text = "",
        shown: Text = "",
        after: Cursor = "",
        before: Cursor = "",
    ) -> Response:
        if shown not in SHOWN.options:
            raise BadInputError(f"shown is `{shown}`; allowed is one of {', '.join(filter(None, SHOWN.options))}")
        active = {"on": True, "off": False}.get(shown)
        wanted = SourceFilter(q.strip(), parser, task_type, active, shown == "failing")
        query = {"q": q, "parser": parser, "task_type": task_type, "shown": shown}
        rows, paging = turned(lambda asked: service.sources(wanted, asked), "name", query, after, before, "sources")
        values = {
            "part": "/sources",
            "rows": rows,
            "paging": paging,
            "is_empty": not rows and not any((*query.values(), after, before)),
            "type_count": len(service.task_types()),
        }
        if is_fragment(request):
            return pages.render(request, "source_rows.html", values)
        more = {
            "is_demo": service.settings().kafka.demo,
            "crumbs": (("Sources", ""),),
            "choices": [*choices_of(service), SHOWN],
            "texts": query,
        }
        return pages.render(request, "sources.html", {**values, **more})

    def dialog(request: Request, form: Form, source: SourceRow | None = None, status: int = 200) -> Response:
        values = {
            "title": f"Edit {source.name}" if source else "Add a source",
            "source_id": source.id if source else None,
            "form": form,
            "parsers": sorted({*service.dictionary().parsers, *([source.parser] if source else [])}),
        }
        return pages.render(request, "source_form.html", values, status)

    @router.get("/sources/new")
    def new(request: Request) -> Response:
        return dialog(request, source_form())

    @router.post("/sources")
    def create(request: Request, typed: Typed) -> Response:
        form = filled(source_form(), typed)
        try:
            made = service.create_source(source_given(form))
        except REFUSED as error:
            return dialog(request, form.refused(error), status=422)
        return _schedule_dialog(request, pages, service, schedule_form(made.id), made, HX_Trigger=ROWS_CHANGED)

    @router.get("/sources/{source_id}/edit")
    def edit(request: Request, source_id: PathId) -> Response:
        source = service.source(source_id)
        return dialog(request, source_form(source), source)

    @router.post("/sources/{source_id}")
    def change(request: Request, source_id: PathId, typed: Typed) -> Response:
        source, form = service.source(source_id), filled(source_form(), typed)
        try:
            service.change_source(source_id, source_given(form))
        except REFUSED as error:
            return dialog(request, form.refused(error), source, 422)
        return _changed()

    @router.post("/sources/{source_id}/switch")
    def switch(source_id: PathId, on: bool) -> Response:
        service.change_source(source_id, SourceGiven(active=on))
        return _changed()

    @router.get("/sources/{source_id}/delete")
    def ask_to_delete(request: Request, source_id: PathId) -> Response:
        sentences = ["Its schedules go with it, and its open tasks are cancelled. Its old tasks stay readable."]
        return _asked(pages, request, f"Delete {service.source(source_id).name}?", sentences, f"/sources/{source_id}")

    @router.post("/sources/{source_id}/delete")
    def delete(request: Request, source_id: PathId) -> Response:
        service.delete_source(source_id, name_of(request.state.visitor.user))
        return _changed()


def _add_schedules(router: APIRouter, pages: Pages, service: Service) -> None:
    @router.get("/preview")
    def preview(request: Request, schedule: Text = "") -> Response:
        values = _preview(service, schedule)
        return pages.render(request, "preview.html", values, 422 if values["wrong"] else 200)

    @router.get("/schedules/new")
    def new(request: Request, source_id: Id) -> Response:
        return _schedule_dialog(request, pages, service, schedule_form(source_id), service.source(source_id))

    @router.post("/schedules")
    def create(request: Request, source_id: Id, typed: Typed) -> Response:
        source, form = service.source(source_id), filled(schedule_form(source_id), typed)
        try:
            service.create_schedule(source_id, schedule_given(form))
        except REFUSED as error:
            return _schedule_dialog(request, pages, service, form.refused(error), source, status=422)
        return _changed()

    @router.get("/schedules/{schedule_id}/edit")
    def edit(request: Request, schedule_id: PathId) -> Response:
        schedule = service.schedule(schedule_id)
        return _schedule_dialog(request, pages, service, schedule_form(schedule.source_id, schedule), schedule)

    @router.post("/schedules/{schedule_id}")
    def change(request: Request, schedule_id: PathId, typed: Typed) -> Response:
        schedule = service.schedule(schedule_id)
        form = filled(schedule_form(schedule.source_id, schedule), typed)
        try:
            service.change_schedule(schedule_id, schedule_given(form))
        except REFUSED as error:
            return _schedule_dialog(request, pages, service, form.refused(error), schedule, status=422)
        return _changed()

    @router.post("/schedules/{schedule_id}/switch")
    def switch(schedule_id: PathId, on: bool) -> Response:
        service.change_schedule(schedule_id, ScheduleGiven(active=on))
        return _changed()

    @router.post("/schedules/{schedule_id}/create")
    def create_now(request: Request, schedule_id: PathId) -> Response:
        schedule = service.schedule(schedule_id)
        only = [schedule.source_id]
        made = service.create_and_dispatch(schedule.parser, schedule.task_type, only, only_due=False)
        if not any(each.tasks for each in made.created) and any(each.still_open for each in made.created):
            raise ConflictError("No task was created: the last one is still open.")
        return said(request, pages, replace(made, created=tuple(replace(each, still_open=0) for each in made.created)))

    @router.get("/schedules/{schedule_id}/delete")
    def ask_to_delete(request: Request, schedule_id: PathId) -> Response:
        schedule = service.schedule(schedule_id)
        title = f"Delete the schedule {schedule.task_type} of {schedule.source_name}?"
        sentences = ["No more tasks of this type are created for it. Open ones go on."]
        return _asked(pages, request, title, sentences, f"/schedules/{schedule_id}")

    @router.post("/schedules/{schedule_id}/delete")
    def delete(schedule_id: PathId) -> Response:
        service.delete_schedule(schedule_id)
        return _changed()


def _schedule_dialog(
    request: Request,
    pages: Pages,
    service: Service,
    form: Form,
    of: SourceRow | ScheduleRow,
    status: int = 200,
    **headers: str,
) -> Response:
    """The form of a schedule, of a source that gets a new one, or of one that there is."""
    values: dict[str, Any] = {"form": form, **_preview(service, form.texts["schedule"])}
    if isinstance(of, ScheduleRow):
        values |= {"title": f"When is {of.source_name} read? ({of.task_type})", "schedule_id": of.id, "task_types": {}}
    else:
        has = {each.task_type for each in of.schedules}
        known = sorted(service.task_types(), key=lambda each: each.id)  # the usual one was there first
        types = {each.name: each.title for each in known if each.name not in has}
        values |= {"title": f"When is {of.name} read?", "schedule_id": None, "task_types": types}
    return pages.render(request, "schedule_form.html", values, status, **headers)


def _preview(service: Service, schedule: str) -> dict[str, Any]:
    try:
        times = service.preview(schedule)
    except BadInputError as error:
        return {"times": [], "wrong": str(error)}
    return {"times": times, "wrong": "", "words": words(" ".join(schedule.split()))}


def _asked(pages: Pages, request: Request, title: str, sentences: list[str], path: str) -> Response:
    values = {"title": title, "sentences": sentences, "action": f"{path}/delete", "verb": "Delete", "kind": "danger"}
    return pages.render(request, "confirm.html", {**values, "can": True})


def _changed() -> Response:
    return Response(status_code=204, headers={"HX-Trigger": CHANGED})
