"""The JSON API of the parser tasks, below `/api/v1`: each address with and without a slash at its end."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

from include.common.errors import BadInputError, ConflictError
from include.parser_tasks import rest_json as js
from include.parser_tasks.models import Action, Refusal
from include.parser_tasks.rest_json import Id, Line, Listing
from include.parser_tasks.service import Bulk, Service

Handler = Callable[..., Any]
# A `GET` that changes something, which the program that this API replaces had for crontabs.
EXPIRE = "/task_group/cancel_expired_task_group"
# What is refused, with a sentence.
ERRORS: Mapping[int | str, str] = {
    400: "The body cannot be read.",
    401: "Nobody is logged in.",
    403: "The user may not do that.",
    404: "There is none of that id.",
    409: "It is there already, or in use, or the task's status does not allow it.",
    422: "A value cannot be: which, and what is allowed.",
    503: "The database cannot be reached, or is not set up.",
}
# What says of each task what came of it, and refuses nothing as a whole for what is there.
BULKS = ("/task_group/", EXPIRE, "/task/cancel", "/task/retry")
# What is not possible, and what is instead: methods, path, sentence.
REFUSED = (
    (
        ("POST",),
        "/task/",
        "Tasks are not made one by one: `POST /task_group/` makes those of a source, `POST /task/{id}/retry` one anew.",
    ),
    (("PUT", "PATCH"), "/task/{task_id}", "A task is changed by its worker; `POST /task/{id}/cancel` ends it."),
    (("DELETE",), "/task/{task_id}", "Tasks are kept as a history; `POST /task/{id}/cancel` ends one."),
    (("PUT", "PATCH"), "/task_group/{group_id}", "A group counts what becomes of its tasks, and is not changed."),
    (("DELETE",), "/task_group/{group_id}", "Groups are kept as a history; `POST /task/cancel` ends all tasks of one."),
)


def router(service: Service, name_of: Callable[[Any], str]) -> APIRouter:
    """All routes of the API; `name_of` is how a user is called."""
    made = APIRouter()
    _add_sources(made, service, name_of)
    _add_task_types(made, service)
    _add_schedules(made, service)
    _add_groups(made, service)
    _add_tasks(made, service, name_of)
    _add_refusals(made, service)
    _add_dictionary(made, service)
    for methods, path, sentence in REFUSED:
        for method in methods:
            _route(made, method, path, include_in_schema=False)(_refusing(sentence))
    return made


def _route(
    router: APIRouter, method: str, path: str, also: Mapping[int, str] | None = None, **options: Any
) -> Callable[[Handler], Handler]:
    """A route at `path`, and at the same with or without a slash at its end: a redirect loses some callers' bodies.

    `also` are answers that are no errors and not the usual one.
    """

    more = {status: {"description": sentence} for status, sentence in (also or {}).items()}
    options = {"responses": {**more, **_errors(method, path)}, **options}

    def add(handler: Handler) -> Handler:
        other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
        router.add_api_route(path, handler, methods=[method], **options)
        router.add_api_route(other, handler, methods=[method], **{**options, "include_in_schema": False})
        return handler

    return add


def _errors(method: str, path: str) -> dict[int | str, dict[str, Any]]:
    """What the schema says of the errors of a route."""
    found = {401, 403, 422, 503}
    if method in ("POST", "PUT", "PATCH"):
        found.add(400)
    if "{" in path or (method, path) == ("POST", "/source_task_type/"):
        found.add(404)
    if method != "GET" and path not in BULKS:
        found.add(409)
    return {status: {"model": js.ErrorJson, "description": ERRORS[status]} for status in sorted(found)}


def _add_sources(router: APIRouter, service: Service, name_of: Callable[[Any], str]) -> None:
    @_route(router, "GET", "/source/")
    def sources(asked: Annotated[js.SourcesListed, Query()]) -> Listing[js.SourceJson]:
        """Sources with their schedules; sorted by `id`, `name`, `parser`, `failures` or `created_at`."""
        page = service.sources(asked.wanted(), asked.asked(service.settings().page_size))
        return js.listing(page, map(js.source_json, page.rows))

    @_route(router, "POST", "/source/", status_code=201)
    def new_source(given: js.SourceNew) -> js.SourceJson:
        """A new source, with schedules if there are any in `task_types`."""
        return js.source_json(service.create_source(given.given(), given.schedules()))

    @_route(router, "GET", "/source/{source_id}")
    def source(source_id: Id) -> js.SourceJson:
        """A source."""
        return js.source_json(service.source(source_id))

    @_route(router, "PUT", "/source/{source_id}")
    def put_source(source_id: Id, given: js.SourceNew) -> js.SourceJson:
        """All of a source anew; its other schedules stay."""
        return js.source_json(service.change_source(source_id, given.given(), given.schedules()))

    @_route(router, "PATCH", "/source/{source_id}")
    def change_source(source_id: Id, given: js.SourceChange) -> js.SourceJson:
        """Some of a source. Tasks that are open go on as they are."""
        return js.source_json(service.change_source(source_id, given.given(), given.schedules()))

    @_route(router, "DELETE", "/source/{source_id}")
    def delete_source(request: Request, source_id: Id) -> js.DeletedJson:
        """Delete a source: its open tasks are cancelled, those that ended stay."""
        return js.DeletedJson(cancelled_tasks=service.delete_source(source_id, _person(request, name_of)))


def _add_task_types(router: APIRouter, service: Service) -> None:
    @_route(router, "GET", "/task_type/")
    def task_types(asked: Annotated[js.Listed, Query()]) -> Listing[js.TaskTypeJson]:
        """Types of tasks; sorted by `id` or `name`."""
        page = service.task_type_page(asked.asked(service.settings().page_size))
        return js.listing(page, map(js.task_type_json, page.rows))

    @_route(router, "POST", "/task_type/", status_code=201)
    def new_task_type(given: js.TaskTypeNew) -> js.TaskTypeJson:
        """A new type of tasks."""
        return js.task_type_json(service.create_task_type(given.given()))

    @_route(router, "GET", "/task_type/{type_id}")
    def task_type(type_id: Id) -> js.TaskTypeJson:
        """A type of tasks."""
        return js.task_type_json(service.task_type(type_id))

    @_route(router, "PUT", "/task_type/{type_id}")
    def put_task_type(type_id: Id, given: js.TaskTypeNew) -> js.TaskTypeJson:
        """All of a type of tasks anew."""
        return js.task_type_json(service.change_task_type(type_id, given.given()))

    @_route(router, "PATCH", "/task_type/{type_id}")
    def change_task_type(type_id: Id, given: js.TaskTypeChange) -> js.TaskTypeJson:
        """Some of a type of tasks."""
        return js.task_type_json(service.change_task_type(type_id, given.given()))

    @_route(router, "DELETE", "/task_type/{type_id}", status_code=204)
    def delete_task_type(type_id: Id) -> None:
        """Delete a type that nothing uses."""
        service.delete_task_type(type_id)


def _add_schedules(router: APIRouter, service: Service) -> None:
    @_route(router, "GET", "/source_task_type/")
    def schedules(asked: Annotated[js.SchedulesListed, Query()]) -> Listing[js.ScheduleJson]:
        """Which source has tasks of which type, and when; sorted by `id` or `due_at`."""
        page = service.schedules(asked.wanted(), asked.asked(service.settings().page_size))
        return js.listing(page, map(js.schedule_json, page.rows))

    @_route(router, "POST", "/source_task_type/", status_code=201)
    def new_schedule(given: js.ScheduleNew) -> js.ScheduleJson:
        """A source has tasks of one more type."""
        return js.schedule_json(service.create_schedule(given.source_id, given.given(given.task_type)))

    @_route(router, "GET", "/source_task_type/preview")
    def preview(schedule: Line) -> js.TimesJson:
        """The next five times of a schedule that is set now."""
        return js.TimesJson(schedule=schedule, times=service.preview(schedule))

    @_route(router, "GET", "/source_task_type/{schedule_id}")
    def schedule(schedule_id: Id) -> js.ScheduleJson:
        """A schedule."""
        return js.schedule_json(service.schedule(schedule_id))

    @_route(router, "PUT", "/source_task_type/{schedule_id}")
    def put_schedule(schedule_id: Id, given: js.ScheduleWhole) -> js.ScheduleJson:
        """All of a schedule anew; it stays that of its source and type."""
        return js.schedule_json(service.change_schedule(schedule_id, given.given()))

    @_route(router, "PATCH", "/source_task_type/{schedule_id}")
    def change_schedule(schedule_id: Id, given: js.ScheduleChange) -> js.ScheduleJson:
        """Some of a schedule; where its times change, the next one is reckoned from now."""
        return js.schedule_json(service.change_schedule(schedule_id, given.given()))

    @_route(router, "DELETE", "/source_task_type/{schedule_id}", status_code=204)
    def delete_schedule(schedule_id: Id) -> None:
        """A source has no more tasks of a type; open ones go on."""
        service.delete_schedule(schedule_id)


def _add_groups(router: APIRouter, service: Service) -> None:
    @_route(router, "GET", "/task_group/")
    def groups(asked: Annotated[js.GroupsListed, Query()]) -> Listing[js.GroupJson]:
        """Groups, the newest first; sorted by `id`, the order of creation."""
        page = service.groups(asked.wanted(), asked.asked(service.settings().page_size))
        return js.listing(page, map(js.group_json, page.rows))

    @_route(router, "POST", "/task_group/", status_code=201, also={200: "Nothing was to be created."})
    def create(response: Response, wanted: js.GroupNew | None = None) -> js.CreatedJson:
        """Create tasks and send them: of all that is due where nothing is said. 200 where there was nothing to create.

        Where the broker is away the tasks stay `created`, and are sent by the next one who sends.
        """
        given = wanted or js.GroupNew()
        made = service.create_and_dispatch(given.parser, given.task_type, given.source_ids, given.only_due)
        found = js.created_json(made)
        if not found.tasks:
            response.status_code = 200
        return found

    def expire() -> js.ExpiredJson:
        """Cancel the tasks that are past their deadline. The `GET` does the same, and takes the same right."""
        found = service.cancel_expired()
        return js.ExpiredJson(cancelled=found.cancelled, held_back=found.held_back)

    _route(router, "POST", EXPIRE)(expire)
    _route(router, "GET", EXPIRE, name="expire_by_get")(expire)

    @_route(router, "GET", "/task_group/{group_id}")
    def group(group_id: Id) -> js.GroupJson:
        """A group."""
        return js.group_json(service.group(group_id))


def _add_tasks(router: APIRouter, service: Service, name_of: Callable[[Any], str]) -> None:
    @_route(router, "GET", "/task/")
    def tasks(asked: Annotated[js.TasksListed, Query()]) -> Listing[js.TaskJson]:
        """Tasks, the newest first; sorted by `id`, the order of creation. `status` may be given several times."""
        page = service.tasks(asked.wanted(), asked.asked(service.settings().page_size))
        return js.listing(page, (js.task_json(row, service.clock()) for row in page.rows))

    @_route(router, "POST", "/task/cancel")
    def cancel_all(request: Request, wanted: js.BulkOf) -> js.BulkJson:
        """Cancel these tasks, or the open ones of a filter, at most 10,000 at once."""
        return js.bulk_json(_bulk(service, Action.CANCEL, wanted, _person(request, name_of)))

    @_route(router, "POST", "/task/retry")
    def retry_all(request: Request, wanted: js.BulkOf) -> js.BulkJson:
        """Make these tasks anew, or those of a filter that failed or were cancelled, at most 10,000 at once."""
        return js.bulk_json(_bulk(service, Action.RETRY, wanted, _person(request, name_of)))

    @_route(router, "GET", "/task/{task_id}")
    def task(task_id: UUID) -> js.TaskWhole:
        """A task with its history and its other tries."""
        return js.task_whole(service.task(task_id), service.clock())

    @_route(router, "POST", "/task/{task_id}/cancel")
    def cancel(request: Request, task_id: UUID) -> js.TaskJson:
        """Cancel an open task."""
        _done(service.cancel([task_id], _person(request, name_of)), service, task_id)
        return js.task_json(service.task(task_id).task, service.clock())

    @_route(router, "POST", "/task/{task_id}/retry", status_code=201)
    def retry(request: Request, task_id: UUID) -> js.RetriedJson:
        """Make a task anew that failed or was cancelled; the old one stays as it ended."""
        bulk = service.retry([task_id], _person(request, name_of))
        new_id = _done(bulk, service, task_id)
        sent = js.bulk_json(bulk)
        new = js.task_json(service.task(new_id or task_id).task, service.clock())
        return js.RetriedJson(task=new, sent=sent.sent, waiting=sent.waiting)


def _add_refusals(router: APIRouter, service: Service) -> None:
    @_route(router, "GET", "/refused_message/")
    def refusals(asked: Annotated[js.RefusedListed, Query()]) -> Listing[js.RefusedJson]:
        """Status messages that changed nothing, and why, the newest first; of tasks that nobody knows too."""
        page = service.refusals(asked.refused or list(Refusal), asked.asked(service.settings().page_size))
        return js.listing(page, map(js.refused_json, page.rows))


def _add_dictionary(router: APIRouter, service: Service) -> None:
    @_route(router, "GET", "/dictionary/")
    def dictionary() -> js.DictionaryJson:
        """What there is to choose from: parsers, types, statuses with what each allows, reasons."""
        return js.dictionary_json(service.dictionary())

    @_route(router, "GET", "/dictionary/{name}")
    def one(name: Line) -> list[Any]:
        """One of them, as `statuses`."""
        found = js.dictionary_json(service.dictionary())
        if name not in js.DictionaryJson.model_fields:
            known = ", ".join(f"`{each}`" for each in js.DictionaryJson.model_fields)
            raise HTTPException(404, f"There is no dictionary of that name; there are {known}.")
        return list(getattr(found, name))


def _person(request: Request, name_of: Callable[[Any], str]) -> str:
    return name_of(request.state.visitor.user)


def _bulk(service: Service, action: Action, wanted: js.BulkOf, person: str) -> Bulk:
    if (wanted.ids is None) == (wanted.filter is None):
        raise BadInputError("either `ids` or `filter` must be given; an empty `filter` is all tasks")
    if wanted.filter is not None:
        return service.bulk(action, replace(wanted.filter.wanted(), before=wanted.after), person)
    if wanted.after is not None:
        raise BadInputError("`after` goes with a `filter`, not with `ids`")
    ids = wanted.ids or []
    return service.cancel(ids, person) if action is Action.CANCEL else service.retry(ids, person)


def _done(bulk: Bulk, service: Service, task_id: UUID) -> UUID | None:
    """The new task of a retry; raises `ConflictError` where the task was refused, `NotFoundError` where none is."""
    result = bulk.results[task_id]
    if result.refused:
        service.task(task_id)
        raise ConflictError(result.refused)
    return result.task_id


def _refusing(sentence: str) -> Handler:
    def refuse() -> None:
        raise HTTPException(405, sentence, {"Allow": "GET"})

    return refuse
