"""The page of the parser tasks: what waits and what became of the day's tasks, the groups, and the other parts."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from include.common.errors import BadInputError, quoted
from include.parser_tasks import source_pages, task_pages
from include.parser_tasks.chart import draw
from include.parser_tasks.models import Cause
from include.parser_tasks.paging import Asked
from include.parser_tasks.queries import GroupFilter, SourceFilter
from include.parser_tasks.service import WORKERS, Service, Topics
from include.parser_tasks.settings import KafkaSettings
from include.parser_tasks.task_pages import choices_of, said
from include.parser_tasks.task_query import Cursor, Text, turned
from include.web.listing import Choice
from include.web.pages import Pages, is_fragment

STATUS = Choice(
    "status", "Status", {"": "Any", "open": "Open", "done": "Ended well", "problems": "Ended with failed or late tasks"}
)
CAUSE = Choice(
    "cause",
    "Made by",
    {"": "Any", Cause.SCHEDULE: "The schedule", Cause.REQUEST: "A person", Cause.RETRY: "A retry"},
)


def router(pages: Pages, service: Service, name_of: Callable[[Any], str]) -> APIRouter:
    """All routes of the page; `name_of` is how a user is called."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def home(request: Request) -> Response:
        values = {
            "part": "/",
            "crumbs": (),
            "topics": None,
            "is_demo": service.settings().kafka.demo,
            "chart": draw(service.last_day()),
            "has_sources": bool(service.sources(SourceFilter(), Asked(1)).rows),
        }
        return pages.render(request, "home.html", values)

    @router.get("/backlog")
    def backlog(request: Request) -> Response:
        kafka, topics = service.settings().kafka, service.topics()
        values = {
            "topics": topics,
            "lines": _lines(kafka, topics),
            "counts": {each.parser: each.counts for each in service.counts()},
            "is_demo": kafka.demo,
        }
        return pages.render(request, "backlog.html", values)

    @router.get("/chart")
    def chart(request: Request) -> Response:
        return pages.render(request, "chart.html", {"chart": draw(service.last_day())})

    @router.get("/groups")
    def groups(
        request: Request,
        parser: Text = "",
        task_type: Text = "",
        status: Text = "",
        cause: Text = "",
        after: Cursor = "",
        before: Cursor = "",
    ) -> Response:
        query = {"parser": parser, "task_type": task_type, "status": status, "cause": cause}
        for choice in (STATUS, CAUSE):
            if query[choice.name] not in choice.options:
                allowed = quoted(tuple(filter(None, choice.options)))
                raise BadInputError(f"{choice.name} is `{query[choice.name]}`; allowed are {allowed}")
        wanted = GroupFilter(parser, task_type, cause, status)
        rows, paging = turned(lambda asked: service.groups(wanted, asked), "-id", query, after, before, "groups")
        values = {
            "part": "/groups",
            "rows": rows,
            "paging": paging,
            "is_empty": not rows and not service.sources(SourceFilter(), Asked(1)).rows,
            "is_filtered": any(query.values()),
        }
        if is_fragment(request):
            return pages.render(request, "group_rows.html", values)
        more = {
            "is_demo": service.settings().kafka.demo,
            "crumbs": (("Groups", ""),),
            "choices": [*choices_of(service), STATUS, CAUSE],
            "texts": query,
        }
        return pages.render(request, "groups.html", {**values, **more})

    @router.post("/groups")
    def create(request: Request) -> Response:
        return said(request, pages, service.create_and_dispatch())

    router.include_router(task_pages.router(pages, service, name_of))
    router.include_router(source_pages.router(pages, service, name_of))
    return router


def _lines(kafka: KafkaSettings, topics: Topics) -> list[tuple[str, str, Mapping[str, tuple[int | None, float]]]]:
    """Each topic with its parser ("" for the statuses) and, of its groups, the lag and when the oldest of it was sent.

    A lag is None where it is not known, a time 0.
    """
    known = {
        topic.name: {group: (lag, topic.oldest.get(group, 0.0)) for group, lag in topic.groups.items()}
        for topic in topics.topics
    }
    there = [
        *((topic, parser, WORKERS.format(parser)) for parser, topic in kafka.topics.items()),
        (kafka.status_topic, "", kafka.group),
    ]
    return [(topic, parser, known.get(topic) or {group: (None, 0.0)}) for topic, parser, group in there]
