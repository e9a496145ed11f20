"""The demo sources in the database: there while their demo is, and named "demo"."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from include.common.database import connect
from include.orchestration import environment as shared
from include.parser_tasks import queries
from include.parser_tasks.catalog import Catalog, ScheduleGiven, SourceGiven, TaskTypeGiven
from include.parser_tasks.queries import SourceFilter
from include.parser_tasks.settings import TOPICS

DEMO = "demo-sources"
VARIABLE = "HEADRACE_DEMO_SOURCES"
LATEST = "latest"
# What its settings say, so that a source of a person's own is never taken for one.
MARK = {"demo": True}


@dataclass(frozen=True)
class _Source:
    name: str
    parser: str
    address: str
    deadline_seconds: float = 300.0


SOURCES = (
    _Source("demo: news of the mill", "rss", "{url}/feeds/news.xml"),
    _Source("demo: a feed that answers too late", "rss", "{url}/feeds/slow.xml", deadline_seconds=20.0),
    _Source("demo: a wall", "vk", "demo_mill"),
    _Source("demo: a channel", "youtube", "@demo"),
)


def fill(environment: Mapping[str, str], demos: Collection[str]) -> None:
    """Make the demo sources, at the address of this start; without the demo, delete them."""
    engine = connect(shared.database_url(environment))
    catalog = Catalog(engine, [*TOPICS], time.time())
    found = queries.sources(engine, SourceFilter(text="demo")).rows
    there = {source.name: source for source in found if source.settings == MARK}
    if DEMO not in demos:
        for source in there.values():
            catalog.delete_source(source.id, "demo")
        return
    if LATEST not in {each.name for each in queries.task_types(engine)}:
        catalog.create_task_type(TaskTypeGiven(LATEST, "What is new since the last task"))
    for wanted in SOURCES:
        address = wanted.address.replace("{url}", environment[VARIABLE])
        given = SourceGiven(wanted.name, wanted.parser, address, MARK, active=True)
        every = ScheduleGiven(LATEST, "* * * * *", deadline_seconds=wanted.deadline_seconds)
        if wanted.name in there:
            catalog.change_source(there[wanted.name].id, given)
        else:
            catalog.create_source(given, [every])
