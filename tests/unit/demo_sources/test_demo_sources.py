"""The demo sources, read by the reference parsers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.demo_sources.server import CHANNEL, DemoSources
from include.parser_tasks.parsers.rss import Rss
from include.parser_tasks.parsers.store import Store
from include.parser_tasks.parsers.vk import Vk
from include.parser_tasks.parsers.web import Web
from include.parser_tasks.parsers.youtube import Youtube
from include.parser_tasks.worker import LateError
from tests.stand_ins.serving import serving
from tests.unit.parser_tasks.parsers.conftest import START, Clock, task

MOMENT = 0.1  # a real one: the slow feed really makes the parser wait


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url(clock: Clock) -> Iterator[str]:
    with serving(DemoSources(every=20, slow=60, now=clock.now).app()) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def parsers(url: str, clock: Clock, client: httpx.Client, tmp_path: Path) -> dict[str, Callable[[Any], Any]]:
    web = Web(client, clock.now, clock.sleep)
    return {
        f"{url}/feeds/news.xml": Rss(web, Store(tmp_path, "rss")),
        "demo_mill": Vk(web, Store(tmp_path, "vk"), "any", url),
        "@demo": Youtube(web, Store(tmp_path, "youtube"), "any", f"{url}/youtube/v3"),
    }


def test_each_grows_by_an_item_at_a_time(parsers: dict[str, Any], clock: Clock, tmp_path: Path) -> None:
    for address, parse in parsers.items():
        clock.seconds = START
        first = parse(task(1, address))
        assert first["items"] >= 20, address
        assert parse(task(2, address))["items"] == 0, address
        clock.seconds = START + 40
        assert parse(task(3, address))["items"] == 2, address
        lines = (tmp_path / first["result"]).read_text("utf-8").splitlines()
        assert all("demo" in line.lower() for line in lines)


def test_all_of_the_wall_and_the_channel_can_be_read(parsers: dict[str, Any]) -> None:
    assert parsers["demo_mill"](task(1, "demo_mill", task_type="all"))["items"] == 250
    assert parsers["@demo"](task(1, CHANNEL, task_type="all"))["items"] == 250


def test_a_feed_has_moved_and_one_is_later_than_its_deadline(parsers: dict[str, Any], url: str) -> None:
    rss = parsers[f"{url}/feeds/news.xml"]
    found = rss(task(1, f"{url}/feeds/moved.xml"))
    assert (found["items"], found["moved_to"]) == (20, f"{url}/feeds/news.xml")
    with pytest.raises(LateError):
        rss(task(2, f"{url}/feeds/slow.xml", deadline_at=START + MOMENT))


def test_it_lists_what_it_has_and_refuses_as_the_services_do(url: str, client: httpx.Client) -> None:
    assert client.get(url).json()["demo"]["vk"] == ["demo_mill"]
    error = client.post(f"{url}/method/wall.get", data={"access_token": "x", "domain": "other"})
    assert (error.status_code, error.json()["error"]["error_code"]) == (200, 100)
    assert client.post(f"{url}/method/wall.get").json()["error"]["error_code"] == 5
    assert client.get(f"{url}/youtube/v3/playlistItems?playlistId=PL1").status_code == 404
    assert client.get(f"{url}/youtube/v3/channels?forHandle=@other").json()["items"] == []
