"""The pages of tasks: lists of them, one of them, and what is done with one or with all that match."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from include.common.errors import BadInputError, quoted
from include.common.text import shown
from include.parser_tasks.actions import Result
from include.parser_tasks.models import ALLOWED, DEAD, Action, Refusal, Status
from include.parser_tasks.paging import Asked, Page
from include.parser_tasks.queries import MOST_IDS, SourceFilter, TaskFilter
from include.parser_tasks.service import Bulk, Made, Service
from include.parser_tasks.task_query import LATE, PROBLEMS, STATUSES, Cursor, TaskQuery, Text, turned
from include.parser_tasks.views import TaskRow
from include.web.listing import Choice
from include.web.pages import Pages, is_fragment

Query = Annotated[TaskQuery, Depends()]
# Sources that are proposed as one types, and results of a bulk that are shown one by one.
NAMES, RESULTS = 200, 500
ROWS_CHANGED, CHANGED = '{"rowsChanged": {}}', '{"rowsChanged": {}, "closeDialog": {}}'
QUESTIONS = {
    Action.CANCEL: (
        "Cancel {}?",
        "A cancelled task stays so, whatever a worker says of it later. The source is read again by its schedule.",
    ),
    Action.RETRY: (
        "Retry {}?",
        "Each is made anew, as a task of its own with the next attempt, and sent to Kafka. The old one stays as it "
        "ended. A source that has an open task of the type is left out.",
    ),
}
# Of the messages that were refused, those in the dead letter queue where nothing else is said.
REASONS = Choice("reason", "Reason", {"": "Can never be applied", **{each: each.capitalize() for each in Refusal}})
KINDS = {Action.CANCEL: "danger", Action.RETRY: "primary"}
PAST = {Action.CANCEL: "cancelled", Action.RETRY: "retried"}
CAN = {Action.CANCEL: "tasks that have not ended can be", Action.RETRY: "tasks that failed or were cancelled can be"}


def router(pages: Pages, service: Service, name_of: Callable[[Any], str]) -> APIRouter:
    """The routes below `/tasks`, and `/errors`."""
    router = APIRouter()

    def listed(request: Request, query: TaskQuery, after: str, before: str) -> Response:
        rows, paging = turned(
            lambda asked: service.tasks(query.wanted(), asked), "-id", query.texts(), after, before, "tasks"
        )
        values: dict[str, Any] = {
            "part": "/errors" if query.errors else "/tasks",
            "rows": rows,
            "paging": paging,
            "query": query,
            "now": service.clock(),
            "is_empty": not rows and not service.sources(SourceFilter(), Asked(1)).rows and not query.group_id,
        }
        if is_fragment(request):
            return pages.render(request, "task_rows.html", values)
        group = service.group(query.group_id) if query.group_id else None
        names = [each.name for each in service.sources(SourceFilter(), Asked(NAMES)).rows]
        crumbs = (("Errors" if query.errors else "Tasks", ""),)
        more = {"crumbs": crumbs, "group": group, "source_names": names, "is_demo": service.settings().kafka.demo}
        choices = [*choices_of(service), *([PROBLEMS] if query.errors else [STATUSES, LATE])]
        return pages.render(request, "tasks.html", {**values, **more, "choices": choices, "texts": query.texts()})

    @router.get("/tasks")
    def tasks(request: Request, query: Query, after: Cursor = "", before: Cursor = "") -> Response:
        return listed(request, query, after, before)

    @router.get("/errors")
    def errors(request: Request, query: Query, after: Cursor = "", before: Cursor = "") -> Response:
        return listed(request, query.only_errors(), after, before)

    @router.get("/errors/messages")
    def messages(request: Request, reason: Text = "", after: Cursor = "", before: Cursor = "") -> Response:
        if reason not in REASONS.options:
            raise BadInputError(f"reason is `{shown(reason)}`; allowed are {quoted(tuple(Refusal))}")
        wanted = [Refusal(reason)] if reason else sorted(DEAD)
        query = {"reason": reason}
        rows, paging = turned(lambda asked: service.refusals(wanted, asked), "-id", query, after, before, "messages")
        values = {"part": "/errors", "rows": rows, "paging": paging}
        if is_fragment(request):
            return pages.render(request, "message_rows.html", values)
        more = {
            "is_demo": service.settings().kafka.demo,
            "crumbs": (("Errors", "/errors"), ("Refused messages", "")),
            "choice": REASONS,
            "reason": reason,
        }
        return pages.render(request, "messages.html", {**values, **more})

    @router.get("/tasks/all/{action}")
    def ask_of_all(request: Request, action: Action, query: Query) -> Response:
        matching, fit = _count(service, query.wanted()), _count(service, query.wanted(), action)
        if not fit.total:
            sentence = f"{_many(matching)} match; none of them can be {PAST[action]}, only {CAN[action]}."
            values = {"title": f"There is nothing to {action}", "sentences": [sentence]}
            return _asked(pages, request, action, "", False, values)
        told = [f"{_many(matching)} match; {_many(fit, named=False)} of them can be {PAST[action]}."]
        if fit.is_more:
            told.append(f"The newest {MOST_IDS:,} are taken at once; you can go on with the rest then.")
        values = {"title": QUESTIONS[action][0].format(_many(fit)), "sentences": [*told, QUESTIONS[action][1]]}
        own = f"/tasks/all/{action}{query.address}"
        return _asked(pages, request, action, own, True, values)

    @router.post("/tasks/all/{action}")
    def do_to_all(request: Request, action: Action, query: Query, rest_of: UUID | None = None) -> Response:
        wanted = replace(query.wanted(), before=rest_of)
        found = service.bulk(action, wanted, name_of(request.state.visitor.user))
        ordered = sorted(found.results.items(), key=lambda one: not one[1].refused)
        hidden = ordered[RESULTS:]
        names = {row.id: row.source_name for row in service.tasks_of([task_id for task_id, _ in ordered[:RESULTS]])}
        values = {
            "title": f"{found.done:,} of {len(found.results):,} {PAST[action]}",
            "sentences": _told(found),
            "results": [(task_id, names.get(task_id, ""), result) for task_id, result in ordered[:RESULTS]],
            "more": len(hidden),
            "rest": f"/tasks/all/{action}{query.address or '?'}&rest_of={found.after}" if found.after else "",
            "more_refused": sum(bool(result.refused) for _, result in hidden),
        }
        return pages.render(request, "results.html", values, HX_Trigger=ROWS_CHANGED)

    @router.get("/tasks/{task_id}")
    def task(request: Request, task_id: UUID) -> Response:
        view = service.task(task_id)
        counted = view.task.statistics
        values = {
            "part": "/tasks",
            "crumbs": (("Tasks", "/tasks"), (view.task.source_name, "")),
            "task": view.task,
            "events": view.events,
            "is_demo": service.settings().kafka.demo,
            "numbers": {name: value for name, value in counted.items() if _is_number(value)},
            "others": {name: value for name, value in counted.items() if not _is_number(value)},
            "retries": [one for one in view.tries if one.retry_of == view.task.id],
            "now": service.clock(),
        }
        return pages.render(request, "task_state.html" if is_fragment(request) else "task.html", values)

    @router.get("/tasks/{task_id}/{action}")
    def ask(request: Request, task_id: UUID, action: Action) -> Response:
        found = service.task(task_id).task
        values = {"title": QUESTIONS[action][0].format("this task"), "sentences": [QUESTIONS[action][1]]}
        if action not in found.actions:
            values["sentences"] = [f"The task is {found.status.replace('_', ' ')}, so that cannot be done."]
        return _asked(pages, request, action, f"/tasks/{task_id}/{action}", action in found.actions, values)

    @router.post("/tasks/{task_id}/{action}")
    def do(request: Request, task_id: UUID, action: Action) -> Response:
        service.task(task_id)
        act = service.cancel if action is Action.CANCEL else service.retry
        result: Result = act([task_id], name_of(request.state.visitor.user)).results[task_id]
        if result.refused:
            raise HTTPException(409, f"Nothing was done: {result.refused}.", {"HX-Trigger": CHANGED})
        if result.task_id:
            where = f"{request.scope.get('root_path', '')}/tasks/{result.task_id}"
            return Response(status_code=204, headers={"HX-Redirect": where})
        return Response(status_code=204, headers={"HX-Trigger": CHANGED})

    return router


def choices_of(service: Service) -> list[Choice]:
    """The filters by parser and by type."""
    there = service.dictionary()
    return [
        Choice("parser", "Parser", {"": "Any", **{name: name for name in sorted(there.parsers)}}),
        Choice("task_type", "Type", {"": "Any", **{each.name: each.name for each in there.task_types}}),
    ]


def said(request: Request, pages: Pages, made: Made) -> Response:
    """What a request to create came to, as a toast: there is no page of it."""
    created = sum(each.tasks for each in made.created)
    told = [f"{created:,} {'task was' if created == 1 else 'tasks were'} created"]
    if still_open := sum(each.still_open for each in made.created):
        told.append(f"{still_open:,} wait until their last task has ended")
    if over := sum(each.over_backlog for each in made.created):
        told.append(f"{over:,} wait because too many tasks wait for a worker")
    sentence = "; ".join(told) + "."
    if created and made.dispatched.waiting:
        sentence += f" Not sent to Kafka yet: {made.dispatched.waiting}"
    headers = {"HX_Trigger": ROWS_CHANGED, "HX_Retarget": "#toasts", "HX_Reswap": "beforeend"}
    return pages.render(
        request, "toast.html", {"sentence": sentence, "kind": "good" if created else "bad"}, 200, **headers
    )


def _asked(pages: Pages, request: Request, action: Action, path: str, can: bool, values: dict[str, Any]) -> Response:
    more = {"action": path, "verb": action.capitalize(), "kind": KINDS[action], "can": can}
    return pages.render(request, "confirm.html", {**values, **more})


def _count(service: Service, wanted: TaskFilter, action: Action | None = None) -> Page[TaskRow]:
    """How many tasks match, or of them those that allow an action, as a page's total."""
    fitting = _fitting(wanted, action) if action else wanted
    return service.tasks(fitting, Asked(1)) if fitting else Page(())


def _fitting(wanted: TaskFilter, action: Action) -> TaskFilter | None:
    """Those of a filter whose status allows an action; None where none can be."""
    statuses = (wanted.statuses or frozenset(Status)) & {each for each in Status if action in ALLOWED[each]}
    return replace(wanted, statuses=statuses) if statuses else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _many(found: Page[Any], *, named: bool = True) -> str:
    what = (" task" if found.total == 1 else " tasks") if named else ""
    return f"more than {found.total:,}{what}" if found.is_more else f"{found.total:,}{what}"


def _told(found: Bulk) -> list[str]:
    """What a person has to know of a bulk as a whole."""
    refused = Counter(result.refused for result in found.results.values() if result.refused)
    told = [f"Not done, {count:,} times: {why}." for why, count in refused.most_common()]
    if found.after:
        told.append(
            f"More tasks match than the {MOST_IDS:,} that are taken at once: go on with the rest, which are older."
        )
    if found.dispatched and found.dispatched.waiting:
        told.append(f"Not sent to Kafka yet: {found.dispatched.waiting}")
    return told
