"""`make bench CASE=task-lists`: the lists of a million parser tasks, and 10,000 of them that are late at once.

On Postgres, or with DATABASE=sqlite on that: each list of the page and of the JSON API with each of its filters, asked
of the application in this process, pages rendered. `floor` is the bare `SELECT` of the newest 100 tasks; that of the
expiry is the bare `UPDATE` of the same tasks.
"""

import io
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import sqlalchemy
from fastapi import FastAPI
from starlette.testclient import TestClient

from include.common.database import new_engine
from include.common.schema import migrate
from include.parser_tasks import expiry, tables
from include.parser_tasks.api import build_app
from include.parser_tasks.models import OPEN, Reason
from include.parser_tasks.service import Service
from include.parser_tasks.settings import KafkaSettings, Settings
from include.web.guard import Access
from include.web.pages import Tab
from tests.bench.task_flow import BRANCHES
from tests.databases import DURABLE, empty_postgres, running_postgres

SOURCES, TIMES, SIZE = 10_000, 100, 50  # a task of each source each time, in groups of SIZE
TASKS = SOURCES * TIMES
ROUNDS = 5
START, APART = 1_700_000_000.0, 21_600.0
NOW = START + TIMES * APART
PARSERS = ("rss", "vk", "youtube")
# Of `monthly` there are few tasks, all of them old; of `never` none.
TYPES = ("latest", "all", "monthly", "never")
PAGE, API = "/headrace/parser-manager", "/headrace/parser-manager/api/v1"
OLD = "2023-12-01T00:00"
LISTS = {
    "/tasks": (
        "",
        *(f"status={each}" for each in ("open", "created", "queued", "in_progress", "done", "failed", "cancelled")),
        *(f"parser={each}" for each in ("rss", "none")),
        *(f"task_type={each}" for each in TYPES),
        *(f"source={each}" for each in ("feed", "feed+77", "nowhere")),
        "late=true",
        "group_id=7",
        f"since={OLD}",
        f"until={OLD}",
        "parser=vk&status=failed",
        "parser=vk&task_type=monthly",
        "parser=vk&task_type=never",
        "status=done&task_type=monthly",
        "status=failed&source=feed+77",
    ),
    "/errors": ("", "status=failed", "parser=rss", "task_type=monthly", "task_type=never", "source=feed+77"),
    "/groups": (
        "",
        *(f"status={each}" for each in ("open", "done", "problems")),
        *(f"parser={each}" for each in ("rss", "none")),
        *(f"task_type={each}" for each in TYPES),
        *(f"cause={each}" for each in ("schedule", "request", "retry")),
        "parser=vk&task_type=never&status=problems",
    ),
    "/sources": (
        "",
        *(f"q={each}" for each in ("feed", "feed+77", "nowhere")),
        *(f"parser={each}" for each in ("rss", "none")),
        *(f"task_type={each}" for each in TYPES),
        *(f"shown={each}" for each in ("on", "off", "failing")),
    ),
    "/": ("",),
    "/api/v1/task/": (
        "",
        "sort=id",
        *(f"worker=host:{each}" for each in (1, 9999)),
        "has_error=true",
        "has_error=false",
        "has_error=true&task_type=never",
        "has_error=true&worker=host:1",
        "has_error=true&parser=rss",
        "has_error=false&status=failed",
        "worker=host:1&status=failed",
        "worker=host:1&parser=vk&task_type=all",
        "status=failed&status=cancelled&task_type=monthly",
        "source_id=77",
        "late=true&task_type=never",
        "task_type=monthly&sort=id",
        "created_from=2023-12-01T00:00:00Z&created_to=2023-12-02T00:00:00Z",
    ),
    "/api/v1/task_group/": ("", "sort=id", "task_type=never"),
    "/api/v1/source/": (
        "",
        *(f"sort={each}" for each in ("id", "-name", "parser", "-failures", "created_at")),
        "active=false",
        "failing=true",
    ),
    "/api/v1/source_task_type/": ("", "sort=due_at", "source_id=77", "parser=vk", "task_type=never", "active=false"),
}


def _rows() -> Iterator[dict[str, Any]]:
    """The tasks: a twentieth failed, some were late; those of the last time are open, and late now."""
    for at in range(TIMES):
        created = START + at * APART
        for source in range(SOURCES):
            number, is_last = at * SOURCES + source, at == TIMES - 1
            kind = number % 100
            status = OPEN[source % 3] if is_last else "failed" if kind < 5 else "cancelled" if kind < 8 else "done"
            yield {
                "id": UUID(int=int(created * 1000) << 80 | 7 << 76 | 2 << 62 | number),
                "group_id": at * (SOURCES // SIZE) + source // SIZE + 1,
                "source_id": source + 1,
                "source_name": f"feed {source}",
                "parser": _parser(source),
                "task_type_id": _type(source, at),
                "status": status,
                "attempt": 1,
                "priority": 0,
                "created_at": created,
                "deadline_at": created + 600,
                "queued_at": created + 1,
                "started_at": created + 2 if status in ("failed", "done") else 0.0,
                "ended_at": 0.0 if is_last else created + 9,
                "topic": "tasks",
                "partition": 0,
                "offset": number,
                "worker": f"host:{number % 200}" if status in ("failed", "done") else "",
                "error": "the source answered 500" if status == "failed" else "",
                "reason": Reason.EXPIRED if status == "cancelled" else "",
                "statistics": {"items": 3} if status == "done" else {},
            }


def _parser(source: int) -> str:
    return PARSERS[source // SIZE % 3]


def _type(source: int, at: int) -> int:
    return 3 if at == 0 and source < SIZE else 2 if source // SIZE % 10 == 0 else 1


def fill(engine: sqlalchemy.Engine) -> None:
    """The million tasks with all that they belong to."""
    sources = [
        {
            "name": f"feed {number}",
            "parser": _parser(number),
            "address": f"https://example.com/{number}/feed.xml",
            "settings": {},
            "active": number % 100 > 0,
            "failures": int(number % 50 == 0),
            "created_at": START + number,
        }
        for number in range(SOURCES)
    ]
    hourly = {"schedule": "6 hours", "deadline_seconds": 600.0, "active": True, "due_at": NOW}
    schedules = [{**hourly, "source_id": number + 1, "task_type_id": _type(number, 1)} for number in range(SOURCES)]
    groups = [
        {
            "parser": _parser(first),
            "task_type_id": _type(first, at),
            "cause": "schedule" if at % 10 else "request",
            "total": SIZE,
            "done": 0 if at == TIMES - 1 else SIZE - first // SIZE % 2,
            "failed": 0 if at == TIMES - 1 else first // SIZE % 2,
            "created_at": START + at * APART,
            "deadline_at": START + at * APART + 600,
            "ended_at": 0.0 if at == TIMES - 1 else START + at * APART + 9,
        }
        for at in range(TIMES)
        for first in range(0, SOURCES, SIZE)
    ]
    with engine.begin() as connection:
        connection.execute(sqlalchemy.delete(tables.TaskType))
        types = [{"id": number, "name": name} for number, name in enumerate(TYPES, 1)]
        models = (tables.TaskType, tables.Source, tables.SourceTaskType, tables.TaskGroup)
        for model, rows in zip(models, (types, sources, schedules, groups), strict=True):
            connection.execute(sqlalchemy.insert(model.__table__), rows)
        _insert_tasks(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if engine.dialect.name == "postgresql" else "PRAGMA optimize")


def _insert_tasks(connection: sqlalchemy.Connection) -> None:
    found = _rows()
    if connection.dialect.name == "sqlite":
        while some := list(itertools.islice(found, SOURCES)):
            connection.execute(sqlalchemy.insert(tables.Task.__table__), some)
        return
    with connection.connection.cursor() as cursor:
        names: list[str] = []
        lines = io.StringIO()
        for row in found:
            names = names or [f'"{name}"' for name in row]
            told = (json.dumps(value) if isinstance(value, dict) else str(value) for value in row.values())
            lines.write("\t".join(told) + "\n")
        lines.seek(0)
        cursor.copy_expert(f"COPY tasks ({', '.join(names)}) FROM STDIN", lines)


def _client(engine: sqlalchemy.Engine) -> TestClient:
    async def user_of(_request: Any) -> str:
        return "bench"

    def nobody(*_given: Any) -> Any:
        raise AssertionError("no list asks the broker")

    tab = Tab("Parser tasks", "/parser-manager")
    service = Service(lambda: engine, lambda: Settings(KafkaSettings("")), nobody, nobody, lambda: NOW)
    outside = FastAPI()
    app = build_app(tab, (tab,), Access(user_of, lambda _user: True, lambda _user: True), service)
    outside.mount("/headrace/parser-manager", app)
    return TestClient(outside)


def measure() -> None:
    """Print the tables."""
    rounds = int(os.environ.get("ROUNDS") or ROUNDS)
    only = os.environ.get("DATABASE", "postgres").split()
    for name in only:
        with _database(name) as url:
            migrate(url, branches=BRANCHES, data=True)
            engine = new_engine(url)
            start = time.perf_counter()
            fill(engine)
            print(f"\n{name}: {TASKS:,} tasks put in within {time.perf_counter() - start:.0f} s; {rounds} rounds")
            _lists(engine, rounds)
            _expiry(engine)
            engine.dispose()


@contextmanager
def _database(name: str) -> Iterator[str]:
    if name == "sqlite":
        with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
            yield f"sqlite:///{folder}/headrace.db"
        return
    with running_postgres(DURABLE) as server, empty_postgres(server) as url:
        yield url


def _lists(engine: sqlalchemy.Engine, rounds: int) -> None:
    client = _client(engine)

    def bare() -> None:
        with engine.connect() as connection:
            connection.execute(
                sqlalchemy.select(tables.Task.__table__).order_by(tables.Task.id.desc()).limit(100)
            ).all()

    def asked(path: str) -> Callable[[], None]:
        return lambda: client.get(f"/headrace/parser-manager{path}").raise_for_status() and None

    things: dict[str, Callable[[], None]] = {"floor": bare}
    for path, queries in LISTS.items():
        things |= {name: asked(name) for name in (f"{path}?{query}" if query else path for query in queries)}
    seconds: dict[str, list[float]] = {name: [] for name in things}
    with client:
        for _ in range(rounds + 1):
            for name, ask in things.items():
                start = time.perf_counter()
                ask()
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(found[1:]) * 1000 for name, found in seconds.items()}
    print(f"floor {medians['floor']:.1f} ms\n{'':24}{'addresses':>10}{'median ms':>10}{'slowest':>9}")
    for path, queries in LISTS.items():
        of_path = {name: value for name, value in medians.items() if name.split("?")[0] == path}
        slow = sorted(of_path, key=lambda name: -of_path[name])
        told = "  ".join(f"{name.removeprefix(path)} {of_path[name]:.1f}" for name in slow[:4])
        print(f"{path:24}{len(queries):>10}{statistics.median(of_path.values()):10.1f}{of_path[slow[0]]:9.1f}  {told}")


def _expiry(engine: sqlalchemy.Engine) -> None:
    late = sqlalchemy.update(tables.Task.__table__).where(tables.is_open(tables.Task.status))
    start = time.perf_counter()
    with engine.begin() as connection:
        connection.execute(late.values(status="cancelled", reason=Reason.EXPIRED, ended_at=NOW))
        floor = time.perf_counter() - start
        connection.rollback()
    start = time.perf_counter()
    count = expiry.cancel_expired(engine, NOW, NOW)
    seconds = time.perf_counter() - start
    print(f"cancel_expired of {count:,}: {seconds:.2f} s, floor {floor:.2f} s, once", flush=True)
