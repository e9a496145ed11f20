"""The parsers' HTTP: bounded, tried again, on time."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from include.common.errors import PermanentError, TransientError
from include.parser_tasks.parsers.web import TRIES, Web
from include.parser_tasks.worker import LateError
from tests.unit.parser_tasks.parsers.conftest import START, Clock, task


def over(handler: Callable[[httpx.Request], httpx.Response], clock: Clock, **more: Any) -> Web:
    return Web(httpx.Client(transport=httpx.MockTransport(handler)), clock.now, clock.sleep, **more)


def test_a_permanent_redirect_moves_the_address_up_to_the_first_temporary_one(clock: Clock) -> None:
    steps = {"/a": (301, "/b"), "/b": (308, "https://other.example/c"), "/c": (302, "/d"), "/d": (200, "")}

    def answer(request: httpx.Request) -> httpx.Response:
        status, to = steps[request.url.path]
        return httpx.Response(status, headers={"location": to} if to else {}, content=b"x")

    found = over(answer, clock).get(task(), "https://example.com/a", {})
    assert (found.url, found.moved_to) == ("https://other.example/d", "https://other.example/c")


def test_redirects_in_a_circle_end(clock: Clock) -> None:
    web = over(lambda _: httpx.Response(302, headers={"location": "/a"}), clock)
    with pytest.raises(PermanentError, match="redirects more than 5 times"):
        web.get(task(), "https://example.com/a", {})


def test_more_bytes_than_allowed_are_not_read(clock: Clock) -> None:
    web = over(lambda _: httpx.Response(200, content=b"x" * 1001), clock, most_bytes=1000)
    with pytest.raises(PermanentError, match="more than 1000 bytes"):
        web.get(task(), "https://example.com/a", {})


@pytest.mark.parametrize(
    "address", ["", "feed", "file:///a", "http://", "https://[x/", "ftp://a/b", "\0", "http://xn--/"]
)
def test_what_is_no_address_is_a_sentence(address: str, web: Web) -> None:
    with pytest.raises((PermanentError, TransientError)):
        web.get(task(), address, {})


@pytest.mark.parametrize("location", ["http://[x", "file:///etc/passwd", "//"])
def test_a_redirect_to_no_address_is_a_sentence(location: str, clock: Clock) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("no such scheme")
        return httpx.Response(301, headers={"location": location})

    with pytest.raises((PermanentError, TransientError)):
        over(answer, clock).get(task(), "https://example.com/a", {})


def test_no_message_names_a_login_or_a_query(clock: Clock) -> None:
    web = over(lambda _: httpx.Response(503), clock)
    with pytest.raises(TransientError) as raised:
        web.get(task(), "https://me:pass@example.com/a?key=secret", {})
    assert str(raised.value) == "`https://example.com/a` answered 503"
    with pytest.raises(LateError) as late:
        web.get(
            task(1, "https://me:pass@example.com/a?key=secret", deadline_at=clock.now()), "https://example.com/", {}
        )
    assert str(late.value) == "the deadline passed while `https://example.com/a` was asked"


def test_what_passes_is_tried_again_with_growing_pauses_or_as_the_server_says(clock: Clock) -> None:
    answers = [httpx.Response(500), httpx.Response(429, headers={"retry-after": "30"}), httpx.Response(200)]
    web = over(lambda _: answers.pop(0), clock)
    assert web.retried(task(), lambda: web.get(task(), "https://example.com/a", {})).status == 200
    assert clock.slept == [1, 30]


def test_what_does_not_pass_is_raised_after_some_tries(clock: Clock) -> None:
    calls = []
    web = over(lambda request: calls.append(request) or httpx.Response(500), clock)
    with pytest.raises(TransientError, match="answered 500"):
        web.retried(task(), lambda: web.get(task(), "https://example.com/a", {}))
    assert len(calls) == TRIES


def test_nothing_waits_past_the_deadline(clock: Clock) -> None:
    web = over(lambda _: httpx.Response(429, headers={"retry-after": "3600"}), clock)
    with pytest.raises(TransientError, match="answered 429"):
        web.retried(task(), lambda: web.get(task(), "https://example.com/a", {}))
    with pytest.raises(LateError):
        web.pause(task(), 300)
    assert clock.slept == []


def test_a_server_that_is_slower_than_the_deadline_is_late_and_one_within_it_may_pass(clock: Clock) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        timeout = request.extensions["timeout"]["read"]
        clock.sleep(timeout)
        raise httpx.ReadTimeout("slow")

    with pytest.raises(TransientError, match="did not answer in time"):
        over(slow, clock).get(task(), "https://example.com/a", {})
    with pytest.raises(LateError, match="the deadline passed"):
        over(slow, clock).get(task(deadline_at=clock.now() + 5), "https://example.com/a", {})
    assert clock.slept == [30, 5]


def test_a_body_that_drips_is_late(clock: Clock) -> None:
    def drips() -> Any:
        while True:
            clock.sleep(1)
            yield b"x"

    web = over(lambda _: httpx.Response(200, content=drips()), clock)
    with pytest.raises(LateError):
        web.get(task(), "https://example.com/a", {})
    assert clock.now() == START + 300


def test_a_connection_that_drops_is_transient(clock: Clock) -> None:
    def drop(_: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("dropped")

    with pytest.raises(TransientError, match="cannot be reached: RemoteProtocolError"):
        over(drop, clock).get(task(), "https://example.com/a", {})
