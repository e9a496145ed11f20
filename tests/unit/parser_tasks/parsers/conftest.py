"""For the tests of workers and parsers: a clock that is told the time, tasks, the services' stand-ins."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from include.parser_tasks.messages import TaskMessage, TaskSource
from include.parser_tasks.parsers.store import Store
from include.parser_tasks.parsers.web import Web
from tests.stand_ins.serving import serving
from tests.stand_ins.sources import Sources

START = 1_800_000_000.0


class Clock:
    """Seconds since the epoch that pass only where somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = START
        self.slept: list[float] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def task(number: int = 1, address: str = "https://example.com/feed", **other: Any) -> TaskMessage:
    """A task that has five minutes; `number` makes its id."""
    source = TaskSource(other.pop("source_id", 7), "Source", address, other.pop("settings", {}))
    values = {
        "task_id": UUID(int=number),
        "group_id": 1,
        "attempt": 1,
        "parser": "rss",
        "task_type": "latest",
        "priority": 0,
        "source": source,
        "created_at": START,
        "deadline_at": START + 300,
        **other,
    }
    return TaskMessage(**values)


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[Sources, str]]:
    sources = Sources()
    with serving(sources.app()) as port:
        yield sources, f"http://127.0.0.1:{port}"


@pytest.fixture
def sources(server: tuple[Sources, str]) -> Sources:
    """The stand-ins, as new."""
    server[0].__init__()  # type: ignore[misc]
    return server[0]


@pytest.fixture
def url(server: tuple[Sources, str]) -> str:
    return server[1]


@pytest.fixture(scope="session")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:  # its certificates take a quarter of a second
        yield client


@pytest.fixture
def web(clock: Clock, client: httpx.Client) -> Web:
    return Web(client, clock.now, clock.sleep, most_bytes=200_000)


@pytest.fixture
def store(tmp_path: Path) -> Callable[[str], Store]:
    return lambda parser: Store(tmp_path, parser)


@pytest.fixture
def lines(tmp_path: Path) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """The items that a task's statistics lead to."""

    def read(statistics: dict[str, Any]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (tmp_path / statistics["result"]).read_text("utf-8").splitlines()]

    return read
