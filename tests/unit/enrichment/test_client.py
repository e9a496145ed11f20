"""Calls to an API, on loopback: how they are addressed, bounded, and what their answers mean."""

import asyncio
import base64
import gzip
import json
import math
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer, TestServer, unused_port
from hypothesis import given
from hypothesis import strategies as st

from include.common.errors import ConfigError, PermanentError, TransientError
from include.common.http.endpoint import Endpoint
from include.common.http.errors import AccessError, UnreachableError
from include.common.http.redaction import may_hold_key, redacted
from include.common.http.retry_after import retry_after
from include.demo_api.faults import Fault
from include.demo_api.server import DemoApi
from include.enrichment.addressing import Addressing
from include.enrichment.client import Client
from include.enrichment.models import Expected, Request

SERIES = Expected("Time Series (Daily)", ("Information", "Note", "Error Message"))


class Server:
    """A server that notes its requests and answers with `handler`."""

    def __init__(self, handler) -> None:
        self.handler = handler
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.connections: set[tuple[str, int]] = set()
        self._server = RawTestServer(self._handle)
        self.url = ""

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        self.connections.add(request.transport.get_extra_info("peername"))
        self.bodies.append(await request.read())
        return await self.handler(request)

    async def start(self) -> None:
        await self._server.start_server()
        self.url = str(self._server.make_url("")).rstrip("/")

    async def close(self) -> None:
        await self._server.close()

    @property
    def paths(self) -> list[str]:
        """The request targets as they came over the wire."""
        return [request.raw_path for request in self.requests]


@pytest.fixture
async def serve():
    """Start a server from a handler, or from a ready answer."""
    started = []

    async def start(answer=None, **response) -> Server:
        async def ready(_: web.Request) -> web.Response:
            return web.Response(**response) if response else web.json_response({"ok": True})

        server = Server(answer or ready)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.close()


@pytest.fixture
async def demo():
    """The demo API; `demo.url` is its address."""
    api = DemoApi()
    server = TestServer(api.app())
    await server.start_server()
    api.url = str(server.make_url("")).rstrip("/")
    yield api
    await server.close()


async def freely() -> None:
    """A permit that is always given."""


async def call(url: str, row=None, expected=None, clock=time.time, endpoint=None, permit=freely, **request):
    """One call of a row on a session of its own."""
    made = Request(**{"connection": "csv_api", "path": "/{id}", "timeout": 20} | request)
    target = Endpoint(url, "API_URL", **endpoint or {})
    async with Client(made, target, expected, clock=clock) as client:
        return await client.call({"id": "004"} if row is None else row, permit)


def url_for(path: str, row, url: str = "http://api.example", query=None, **endpoint) -> str:
    request = Request(connection="csv_api", path=path, query=query or {})
    return Addressing(request, Endpoint(url, "API_URL", **endpoint)).text_for(row)


async def test_the_answer_is_the_decoded_json(demo):
    found = await call(demo.url, path="/countries/{id}")
    assert (found["name"], found["latest"]["population"]) == ("Afghanistan", 31889923)
    assert demo.stats.calls == 1


# How a call is addressed


@pytest.mark.parametrize(
    ("key", "segment"),
    [
        ("004", "004"),
        ("a/b", "a%2Fb"),
        ("a?b", "a%3Fb"),
        ("a#b", "a%23b"),
        ("50%", "50%25"),
        ("%2F", "%252F"),
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("a&b=c", "a%26b%3Dc"),
        ("a\\b", "a%5Cb"),
        ("a:b@c;d", "a%3Ab%40c%3Bd"),
        ("Ё🎄", "%D0%81%F0%9F%8E%84"),
        ("..;", "..%3B"),
        ("...", "..."),
        ("a\r\nb", "a%0D%0Ab"),
        ("{id}", "%7Bid%7D"),
    ],
)
async def test_a_key_is_one_segment_of_the_path_whatever_it_holds(serve, key, segment):
    server = await serve()
    await call(server.url, {"id": key}, path="/items/{id}/details")
    assert server.paths == [f"/items/{segment}/details"]


@pytest.mark.parametrize("key", [".", ".."])
async def test_a_key_that_would_climb_the_path_is_refused_and_not_called(serve, key):
    server = await serve()
    with pytest.raises(PermanentError, match="are not values that a path can hold"):
        await call(server.url, {"id": key}, path="/items/{id}")
    assert server.requests == []


async def test_a_key_of_dots_within_a_longer_segment_is_a_key(serve):
    server = await serve()
    await call(server.url, {"id": ".."}, path="/items/x{id}")
    assert server.paths == ["/items/x.."]


async def test_the_server_gets_the_key_back_as_it_was(demo):
    assert await call(demo.url, {"id": "a/b?c#d%e Ё"}, path="/echo/{id}") == {"key": "a/b?c#d%e Ё", "length": 11}


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_no_value_changes_the_shape_of_the_url(key):
    if key in (".", ".."):
        return
    url = url_for("/items/{id}/x", {"id": key})
    assert url.startswith("http://api.example/items/")
    assert url.count("/") == 5
    assert url.isascii()
    assert not set(url) & set("?# \r\n\t")


@pytest.mark.parametrize(
    ("address", "path", "url"),
    [
        ("http://h", "/items/{id}", "http://h/items/7"),
        ("http://h/", "/items/{id}", "http://h/items/7"),
        ("http://h/api/v1", "/items/{id}", "http://h/api/v1/items/7"),
        ("http://h/api/v1/", "items/{id}", "http://h/api/v1/items/7"),
        ("https://h:8443/api", "", "https://h:8443/api"),
        ("http://h/api#part", "/{id}", "http://h/api/7"),
        ("http://h/мой путь", "/{id}", "http://h/%D0%BC%D0%BE%D0%B9%20%D0%BF%D1%83%D1%82%D1%8C/7"),
    ],
)
def test_the_path_stands_behind_the_address(address, path, url):
    assert url_for(path, {"id": "7"}, address) == url


def test_query_values_are_encoded_and_cannot_add_parameters():
    url = url_for("/query", {"symbol": "A&apikey=x#?/ Ё"}, query={"function": "DAILY", "symbol": "{symbol}"})
    assert url == "http://api.example/query?function=DAILY&symbol=A%26apikey%3Dx%23%3F%2F+%D0%81"


def test_the_query_of_the_address_and_of_the_connection_go_with_every_call():
    url = url_for("/q", {"id": "7"}, "http://h/api?v=2", {"id": "{id}"})
    assert url == "http://h/api/q?v=2&id=7"


def test_a_query_in_the_path_and_one_of_the_connection_are_joined():
    made = Request(connection="csv_api", path="/query?symbol={symbol}")
    url = Addressing(made, Endpoint("http://h", "csv_api", query={"apikey": "secret"})).text_for({"symbol": "A&B"})
    assert url.count("?") == 1
    assert "symbol=A%26B" in url
    assert "apikey=secret" in url


async def test_the_connections_key_goes_with_every_call(serve):
    server = await serve()
    await call(server.url, path="/q", query={"id": "{id}"}, endpoint={"query": {"apikey": "s e"}})
    assert dict(server.requests[0].query) == {"apikey": "s e", "id": "004"}


async def test_the_connections_headers_and_the_rows_go_with_the_call(serve):
    server = await serve()
    await call(server.url, headers={"X-Row": "{id}"}, endpoint={"headers": {"X-Key": "abc"}})
    headers = server.requests[0].headers
    assert (headers["X-Key"], headers["X-Row"], headers["Accept"]) == ("abc", "004", "application/json")


async def test_login_and_password_become_basic_authorization(serve):
    server = await serve()
    await call(server.url, endpoint={"login": "анна", "password": "pässword"})
    sent = server.requests[0].headers["Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == "анна:pässword"


async def test_an_authorization_of_the_connections_headers_wins(serve):
    server = await serve()
    endpoint = {"headers": {"Authorization": "Bearer abcdef"}, "login": "a", "password": "b"}
    await call(server.url, endpoint=endpoint)
    assert server.requests[0].headers.getall("Authorization") == ["Bearer abcdef"]


async def test_a_json_body_is_made_of_the_row(serve):
    server = await serve()
    body = {"user": {"id": "{id}"}, "tags": ["{id}", 5], "on": True}
    await call(server.url, {"id": '7", "admin": "1'}, method="POST", path="/users", json=body)
    request = server.requests[0]
    assert (request.method, request.content_type) == ("POST", "application/json")
    value = '7", "admin": "1'
    assert json.loads(server.bodies[0]) == {"user": {"id": value}, "tags": [value, 5], "on": True}


async def test_a_get_has_no_body(serve):
    server = await serve()
    await call(server.url)
    assert server.bodies == [b""]


@pytest.mark.parametrize("key", ["a\r\nX-Admin: 1", "a\nb", "a\rb"])
async def test_a_value_cannot_add_a_header(serve, key):
    server = await serve()
    with pytest.raises(PermanentError, match="`X-Key` would hold a line break"):
        await call(server.url, {"id": key}, path="/", headers={"X-Key": "{id}"})
    assert server.requests == []


async def test_all_calls_of_a_task_share_one_session(serve):
    server = await serve()
    async with Client(Request("csv_api", "/{id}"), Endpoint(server.url, "API_URL")) as client:
        for key in "abc":
            await client.call({"id": key}, freely)
    assert len(server.requests) == 3
    assert len(server.connections) == 1


async def test_the_session_itself_bounds_no_calls_in_flight(demo):
    demo.latency = 0.2
    async with Client(Request("csv_api", "/echo/{id}"), Endpoint(demo.url, "API_URL")) as client:
        await asyncio.gather(*(client.call({"id": str(key)}, freely) for key in range(120)))
    assert demo.stats.peak == 120


async def test_cookies_of_one_row_do_not_go_with_the_next(serve):
    async def handler(request):
        response = web.json_response({})
        response.set_cookie("session", request.path)
        return response

    server = await serve(handler)
    async with Client(Request("csv_api", "/{id}"), Endpoint(server.url, "API_URL")) as client:
        await client.call({"id": "a"}, freely)
        await client.call({"id": "b"}, freely)
    assert "Cookie" not in server.requests[1].headers


# What an answer means


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_these_statuses_are_worth_another_try(demo, status):
    demo.faults = [Fault("status", status=status)]
    with pytest.raises(TransientError, match=f"^{status}: "):
        await call(demo.url, path="/countries/{id}")
    assert demo.stats.calls == 1


@pytest.mark.parametrize("status", [400, 404, 405, 409, 410, 418, 422, 451])
async def test_these_statuses_fail_the_row_at_once(demo, status):
    demo.faults = [Fault("status", status=status)]
    with pytest.raises(PermanentError, match=f"^{status}: ") as caught:
        await call(demo.url, path="/countries/{id}")
    assert not isinstance(caught.value, AccessError)
    assert demo.stats.calls == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_concern_every_row_and_say_where_they_came_from(demo, status):
    demo.faults = [Fault("status", status=status)]
    with pytest.raises(AccessError) as caught:
        await call(f"{demo.url}/?token=abcdef", path="/countries/{id}")
    assert str(caught.value).startswith(f"{status}: {demo.url}/")
    assert "(from API_URL)" in str(caught.value)
    assert "abcdef" not in str(caught.value)


async def test_a_status_that_is_neither_is_permanent(serve):
    server = await serve(status=304)
    with pytest.raises(PermanentError, match=r"^304"):
        await call(server.url)


async def test_the_error_quotes_what_the_server_said(serve):
    server = await serve(status=422, text='{"error":\n   "no such   field"}')
    with pytest.raises(PermanentError) as caught:
        await call(server.url)
    assert str(caught.value) == '422: `{"error": "no such field"}`'


async def test_a_long_answer_is_quoted_in_part(serve):
    server = await serve(status=500, text="x" * 5000)
    with pytest.raises(TransientError) as caught:
        await call(server.url)
    assert str(caught.value) == f"500: `{'x' * 200}…`"


async def test_an_error_without_a_body_is_its_status(serve):
    server = await serve(status=500, body=b"")
    with pytest.raises(TransientError) as caught:
        await call(server.url)
    assert str(caught.value) == "500"


async def test_a_body_that_is_no_json_is_worth_another_try(demo):
    demo.faults = [Fault("garbage")]
    with pytest.raises(TransientError, match=r"^200 with a body that is not JSON: `<html>"):
        await call(demo.url, path="/countries/{id}")


@pytest.mark.parametrize("body", [b"", b"   ", b'{"a": 1', b'{"a": 1} x', b"\xff\xfe\xff"])
async def test_no_broken_body_is_taken_for_an_answer(serve, body):
    server = await serve(body=body)
    with pytest.raises(TransientError, match="not JSON"):
        await call(server.url)


async def test_an_answer_nested_too_deep_to_be_worked_with_fails_its_row(serve):
    server = await serve(body=b'{"a":' * 600 + b"1" + b"}" * 600)
    with pytest.raises(PermanentError, match="deeper than 100 levels"):
        await call(server.url)


async def test_a_byte_order_mark_and_a_wrong_content_type_do_not_matter(serve):
    server = await serve(body=b'\xef\xbb\xbf{"a": 1}', content_type="text/html")
    assert await call(server.url) == {"a": 1}


async def test_nan_and_infinity_are_read(serve):
    server = await serve(body=b'{"a": NaN, "b": -Infinity}')
    found = await call(server.url)
    assert math.isnan(found["a"])
    assert found["b"] == -math.inf


async def test_big_integers_keep_every_digit(serve):
    server = await serve(body=b"[9007199254740993, 1208925819614629174706177]")
    assert await call(server.url) == [9007199254740993, 1208925819614629174706177]


@pytest.mark.parametrize("answer", [b"null", b"0", b'""', b"[]", b"{}", b"false"])
async def test_any_json_is_an_answer_where_nothing_is_expected(serve, answer):
    server = await serve(body=answer)
    assert not await call(server.url)


async def test_a_soft_error_is_worth_another_try_and_says_why(demo):
    demo.faults = [Fault("soft")]
    with pytest.raises(TransientError) as caught:
        await call(demo.url, path="/query", expected=SERIES)
    assert str(caught.value) == "200 without `Time Series (Daily)`: Our standard limit is 25 calls a day."


async def test_alpha_vantages_error_message_is_a_soft_error(demo):
    with pytest.raises(TransientError, match="Invalid API call"):
        await call(demo.url, path="/query", query={"function": "TIME_SERIES_DAILY", "symbol": "NONE"}, expected=SERIES)


@pytest.mark.parametrize("answer", ["{}", '{"Time Series (Daily)": {}}', '{"Time Series (Daily)": null}', "[]", "5"])
async def test_an_answer_without_what_is_expected_is_a_soft_error(serve, answer):
    server = await serve(text=answer)
    with pytest.raises(TransientError, match=r"^200 without `Time Series \(Daily\)`"):
        await call(server.url, expected=SERIES)


async def test_an_answer_with_what_is_expected_is_an_answer_whatever_else_it_holds(serve):
    server = await serve(text='{"Time Series (Daily)": {"a": 1}, "Note": "be nice"}')
    assert await call(server.url, expected=SERIES) == {"Time Series (Daily)": {"a": 1}, "Note": "be nice"}


@pytest.mark.parametrize("figure", ["0", "false"])
async def test_a_figure_of_nought_is_not_empty(serve, figure):
    server = await serve(text=f'{{"count": {figure}}}')
    assert await call(server.url, expected=Expected("count")) == {"count": 0}


# When to come again


async def test_retry_after_in_seconds_is_handed_on(demo):
    demo.faults = [Fault("status", status=429, retry_after=7)]
    with pytest.raises(TransientError) as caught:
        await call(demo.url, path="/countries/{id}")
    assert caught.value.retry_after == 7


async def test_retry_after_as_a_date_is_counted_from_the_clock(serve):
    server = await serve(status=503, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
    with pytest.raises(TransientError) as caught:
        await call(server.url, clock=lambda: 1792567680.0 - 90)
    assert caught.value.retry_after == 90


async def test_a_429_without_retry_after_names_no_pause(demo):
    demo.faults = [Fault("status", status=429)]
    with pytest.raises(TransientError) as caught:
        await call(demo.url, path="/countries/{id}")
    assert caught.value.retry_after is None


async def test_a_soft_error_hands_on_retry_after_too(serve):
    server = await serve(text="{}", headers={"Retry-After": "30"})
    with pytest.raises(TransientError) as caught:
        await call(server.url, expected=SERIES)
    assert caught.value.retry_after == 30


NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("Sun, 06 Nov 1994 09:50:37 +0100", 60),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
    ],
)
def test_retry_after_is_read_as_rfc_9110_writes_it(value, seconds):
    assert retry_after(value, NOW) == seconds


def test_a_date_without_a_zone_is_gmt_wherever_we_are(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Vladivostok")
    time.tzset()
    try:
        assert retry_after("Sun Nov  6 08:50:37 1994", NOW) == 60
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "value", ["Sun, 06 Nov 1994 08:49:37 +99999999999999999999", "Sun, 99 Zzz 1994 99:99:99 GMT", "1" * 500]
)
def test_nonsense_for_retry_after_is_no_reason_to_stumble(value):
    found = retry_after(value, NOW)
    assert found is None or found >= 0


@given(st.text())
def test_whatever_retry_after_says_it_is_seconds_or_nothing(value):
    found = retry_after(value, NOW)
    assert found is None or found >= 0


# What is bounded


async def test_a_dropped_connection_is_worth_another_try(demo):
    demo.faults = [Fault("drop")]
    with pytest.raises(TransientError, match=r"^connection failed: "):
        await call(demo.url, path="/countries/{id}")


async def test_a_server_that_is_not_there_is_worth_another_try():
    with pytest.raises(UnreachableError, match=r"^connection failed: "):
        await call(f"http://127.0.0.1:{unused_port()}")


async def test_a_server_that_breaks_a_connection_was_reached(demo):
    demo.faults = [Fault("drop")]
    with pytest.raises(TransientError) as caught:
        await call(demo.url, path="/countries/{id}")
    assert not isinstance(caught.value, UnreachableError)


async def test_a_body_cut_short_is_worth_another_try(serve):
    async def handler(request):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"a":')
        request.transport.abort()
        return response

    server = await serve(handler)
    with pytest.raises(TransientError, match=r"^connection failed: "):
        await call(server.url)


async def test_a_slow_body_is_a_timeout_of_the_whole_call(demo):
    demo.faults = [Fault("slow", seconds=60)]
    with pytest.raises(TransientError, match=r"^no complete answer within 0\.2 s$"):
        await call(demo.url, path="/countries/{id}", timeout=0.2)


async def test_a_server_that_says_nothing_is_a_timeout(demo):
    demo.latency = 60
    with pytest.raises(TransientError, match=r"^no complete answer within 0\.2 s$"):
        await call(demo.url, path="/countries/{id}", timeout=0.2)


async def test_each_call_has_the_whole_time_from_its_own_start(demo):
    demo.latency = 60
    loop, took = asyncio.get_running_loop(), []
    async with Client(Request("csv_api", "/echo/{id}", timeout=0.2), Endpoint(demo.url, "API_URL")) as client:

        async def one(number):
            await asyncio.sleep(number / 100)
            began = loop.time()
            with pytest.raises(TransientError, match="no complete answer"):
                await client.call({"id": str(number)}, freely)
            took.append(loop.time() - began)
            assert asyncio.current_task().cancelling() == 0

        await asyncio.gather(*map(one, range(20)))
    assert min(took) >= 0.199


async def test_a_call_that_is_cancelled_as_its_time_runs_out_stays_cancelled(demo):
    demo.latency = 60
    async with Client(Request("csv_api", "/echo/{id}", timeout=0.1), Endpoint(demo.url, "API_URL")) as client:
        task = asyncio.create_task(client.call({"id": "1"}, freely))
        while not task.cancelling():  # noqa: ASYNC110 (that very moment is meant)
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_huge_body_fails_the_row(demo):
    demo.faults = [Fault("huge", megabytes=50)]
    with pytest.raises(PermanentError, match=r"^the answer is larger than 1048576 bytes$"):
        await call(demo.url, path="/countries/{id}", max_bytes=1024 * 1024)


async def test_a_body_of_just_the_limit_is_read(serve):
    server = await serve(body=b'"' + b"x" * 998 + b'"')
    assert len(await call(server.url, max_bytes=1000)) == 998
    with pytest.raises(PermanentError, match="larger than 999 bytes"):
        await call(server.url, max_bytes=999)


async def test_the_limit_counts_what_a_compressed_body_becomes(serve):
    bomb = gzip.compress(b" " * 30 * 1024 * 1024)
    assert len(bomb) < 100_000
    server = await serve(body=bomb, headers={"Content-Encoding": "gzip"})
    with pytest.raises(PermanentError, match="larger than 1048576 bytes"):
        await call(server.url, max_bytes=1024 * 1024)


async def test_a_compressed_body_is_read(serve):
    server = await serve(body=gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})
    assert await call(server.url) == {"a": 1}


async def test_a_body_that_is_not_compressed_as_it_says_is_worth_another_try(serve):
    server = await serve(body=b"no gzip", headers={"Content-Encoding": "gzip"})
    with pytest.raises(TransientError):
        await call(server.url)


# Redirects


def redirect(location: str, status: int = 302):
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/there":
            return web.json_response({"method": request.method})
        return web.Response(status=status, headers={"Location": location})

    return handler


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_on_the_same_host_is_followed(serve, status):
    server = await serve(redirect("/there", status))
    assert await call(server.url) == {"method": "GET"}
    assert server.paths == ["/004", "/there"]


async def test_the_credentials_go_along_on_the_same_host(serve):
    server = await serve(redirect("/there"))
    await call(server.url, endpoint={"headers": {"X-Key": "abcdef"}})
    assert [request.headers["X-Key"] for request in server.requests] == ["abcdef", "abcdef"]


@pytest.mark.parametrize(
    ("status", "method", "bodies"),
    [(301, "GET", 1), (302, "GET", 1), (303, "GET", 1), (307, "POST", 2), (308, "POST", 2)],
)
async def test_a_post_is_repeated_or_becomes_a_get_as_the_status_says(serve, status, method, bodies):
    server = await serve(redirect("/there", status))
    assert await call(server.url, method="POST", json={"id": "{id}"}) == {"method": method}
    assert [body for body in server.bodies if body] == [b'{"id": "004"}'] * bodies


async def test_a_redirect_to_another_host_is_refused_by_name_and_not_called(serve):
    other = await serve()
    elsewhere = other.url.replace("127.0.0.1", "localhost")
    server = await serve(redirect(f"{elsewhere}/there"))
    with pytest.raises(PermanentError, match=f"302: a redirect to {elsewhere} was not followed"):
        await call(server.url, endpoint={"headers": {"X-Key": "abcdef"}})
    assert other.requests == []


async def test_a_redirect_to_another_name_with_the_same_port_is_refused(serve):
    server = await serve(lambda request: redirect(elsewhere)(request))
    elsewhere = server.url.replace("127.0.0.1", "localhost") + "/there"
    with pytest.raises(PermanentError, match="was not followed"):
        await call(server.url)
    assert server.paths == ["/004"]


async def test_a_redirect_to_another_port_is_refused(serve):
    other = await serve()
    server = await serve(redirect(f"{other.url}/there"))
    with pytest.raises(PermanentError, match="was not followed"):
        await call(server.url)
    assert other.requests == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/", "//other.example/", "javascript:1"])
async def test_a_redirect_to_something_else_is_refused(serve, location):
    server = await serve(redirect(location))
    with pytest.raises(PermanentError):
        await call(server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["http://[::1", "http://h:99999/"])
async def test_a_redirect_to_something_that_is_no_url_fails_the_row(serve, location):
    server = await serve(redirect(location))
    with pytest.raises(PermanentError):
        await call(server.url)


@pytest.mark.parametrize(("leads", "requests"), [({"/004": "/004"}, 1), ({"/004": "/a#x", "/a": "/004"}, 2)])
async def test_a_redirect_in_a_circle_ends_where_it_closes(serve, leads, requests):
    async def handler(request):
        return web.Response(status=302, headers={"Location": leads[request.path]})

    server = await serve(handler)
    with pytest.raises(PermanentError, match=r"^302: a redirect in a circle$"):
        await call(server.url)
    assert len(server.requests) == requests


async def test_a_redirect_that_leads_ever_further_ends(serve):
    async def handler(request):
        return web.Response(status=302, headers={"Location": f"{request.path}x"})

    server = await serve(handler)
    with pytest.raises(PermanentError, match=r"^more than 5 redirects$"):
        await call(server.url)
    assert len(server.requests) == 6


async def test_each_request_that_a_redirect_leads_to_asks_for_a_permit(serve):
    server = await serve(redirect("/there"))
    asked_after = []

    async def permit():
        asked_after.append(len(server.requests))

    await call(server.url, permit=permit)
    assert (asked_after, server.paths) == ([1], ["/004", "/there"])


async def test_a_request_that_is_not_permitted_is_not_sent_and_the_refusal_comes_through(serve):
    server = await serve(redirect("/there"))

    async def permit():
        raise LookupError("the budget is spent")

    with pytest.raises(LookupError, match="the budget is spent"):
        await call(server.url, permit=permit)
    assert server.paths == ["/004"]


async def test_a_wait_for_a_permit_is_no_part_of_the_timeout(serve):
    server = await serve(redirect("/there"))
    await call(server.url, permit=lambda: asyncio.sleep(0.4), timeout=0.3)
    assert len(server.requests) == 2


async def test_a_redirect_that_names_no_place_fails_the_row(serve):
    server = await serve(status=302)
    with pytest.raises(PermanentError, match=r"^302"):
        await call(server.url)


async def test_the_demo_apis_redirect_to_another_host_is_refused(demo):
    demo.faults = [Fault("redirect", location="http://other.example/")]
    with pytest.raises(PermanentError, match=r"http://other\.example(:80)? was not followed; allowed is the same host"):
        await call(demo.url, path="/countries/{id}")
    assert demo.stats.calls == 1


# Secrets


async def echo(request: web.Request) -> web.Response:
    """Everything that came, as an error."""
    said = [request.raw_path, *(f"{name}: {value}" for name, value in request.headers.items())]
    return web.Response(status=400, text="\n".join(said))


@pytest.mark.parametrize(
    ("endpoint", "secret"),
    [
        ({"headers": {"X-Key": "s3cr3t-header"}}, "s3cr3t-header"),
        ({"headers": {"Authorization": "Bearer s3cr3t-token"}}, "s3cr3t-token"),
        ({"query": {"apikey": "s3cr3t-query"}}, "s3cr3t-query"),
        ({"query": {"apikey": "s3cr3t/+="}}, "s3cr3t%2F%2B%3D"),
        ({"query": {"apikey": "two words"}}, "two+words"),
        ({"login": "anna", "password": "s3cr3t-password"}, base64.b64encode(b"anna:s3cr3t-password").decode()),
    ],
)
async def test_a_secret_that_the_server_repeats_is_not_shown(serve, endpoint, secret):
    server = await serve(echo)
    with pytest.raises(PermanentError) as caught:
        await call(server.url, path="/", endpoint=endpoint)
    assert "***" in str(caught.value)
    assert secret not in str(caught.value)


async def test_a_secret_in_the_address_itself_is_not_shown(serve):
    server = await serve(echo)
    with pytest.raises(PermanentError) as caught:
        await call(f"{server.url}/?apikey=s3cr3t-address", path="")
    assert "s3cr3t-address" not in str(caught.value)
    assert "s3cr3t-address" in server.paths[0]


async def test_a_secret_repeated_as_json_escapes_it_is_not_shown(serve):
    server = await serve(status=400, text=r'{"error": "bad key s3cr3t\/key"}')
    with pytest.raises(PermanentError) as caught:
        await call(server.url, endpoint={"headers": {"X-Key": "s3cr3t/key"}})
    assert "s3cr3t" not in str(caught.value)


async def test_a_secret_at_the_end_of_what_is_quoted_is_not_shown_in_part(serve):
    server = await serve(status=400, text=" " * 790 + "s3cr3t-header")
    with pytest.raises(PermanentError) as caught:
        await call(server.url, endpoint={"headers": {"X-Key": "s3cr3t-header"}})
    assert "s3cr3t" not in str(caught.value)


async def test_a_secret_in_a_soft_errors_note_is_not_shown(serve):
    server = await serve(text='{"Note": "the key s3cr3t-query is used up"}')
    with pytest.raises(TransientError, match=r": the key \*\*\* is used up$"):
        await call(server.url, expected=SERIES, endpoint={"query": {"apikey": "s3cr3t-query"}})


async def test_a_body_that_is_not_json_hides_its_secrets_too(serve):
    server = await serve(text="<p>key s3cr3t-header</p>")
    with pytest.raises(TransientError, match=r"not JSON: `<p>key \*\*\*</p>`"):
        await call(server.url, endpoint={"headers": {"X-Key": "s3cr3t-header"}})


async def test_ordinary_words_are_not_blanked_out_by_a_short_secret(serve):
    server = await serve(status=400, text="a bad day")
    with pytest.raises(PermanentError, match=r"^400: `a bad day`$"):
        await call(server.url, endpoint={"query": {"v": "a"}})


def test_an_endpoint_shows_no_secret_of_its_own():
    endpoint = Endpoint("http://h", "csv_api", {"X-Key": "s3cr3t-1"}, {"k": "s3cr3t-2"}, "anna", "s3cr3t-3")
    assert "s3cr3t" not in repr(endpoint)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example",
        "ftp://api.example",
        "http://",
        "http:///path",
        "http://h:port",
        "http://h:99999",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_is_a_configuration_error_with_its_origin(url):
    with pytest.raises(ConfigError, match=r"the API's address is `.*` \(from API_URL\); allowed is an http"):
        Endpoint(url, "API_URL")


def test_the_error_of_a_bad_address_shows_no_credentials():
    with pytest.raises(ConfigError) as caught:
        Endpoint("ftp://anna:s3cr3t@api.example/?key=s3cr3t", "API_URL")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://anna:s3cr3t@h:8080/api?key=s3cr3t#s3cr3t", "http://h:8080/api"),
        ("http://anna:s3cr3t@h:port/?key=s3cr3t", "h:port/"),
        ("https://h/api", "https://h/api"),
    ],
)
def test_a_url_is_shown_without_credentials_and_query(url, shown):
    assert redacted(url) == shown


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://api.example.com/items", False),
        ("https://api.example.com/search?sku={sku}&q={a b}", False),
        ("https://api.example.com/search?sku={sku}&apikey=k", True),
        ("https://api.example.com/search?sku=x{sku}", True),
        ("https://api.example.com/?k", True),
        ("https://me:k@api.example.com/", True),
    ],
)
def test_an_address_may_hold_a_key_where_more_than_fields_stands_in_it(url, may):
    assert may_hold_key(url) is may
