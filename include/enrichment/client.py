"""One call for one row: sent, bounded in time and size, and led along redirects of the same host.

A timeout and a dropped connection are transient, an untrusted certificate is permanent; what an answer itself means is
told in `answer.py`.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from yarl import URL

from include.common.errors import PermanentError, TransientError
from include.common.http.endpoint import Endpoint
from include.common.http.errors import UnreachableError
from include.common.http.proxy import is_proxied, with_netrc
from include.enrichment.addressing import Addressing
from include.enrichment.answer import Answer, AnswerReader
from include.enrichment.models import Expected, Request

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
READ_BYTES = 64 * 1024
# Seconds between two looks at the calls in flight, and so how late a timeout may be. A timer for each call, as
# `asyncio.timeout` and aiohttp set, takes 8 µs of the 75 that a fast call costs.
LOOK_EVERY = 0.05
Permit = Callable[[], Awaitable[None]]


class Client:
    """Calls `request` on `endpoint` for one row after another over one session. Use as an async context manager.

    `key` is the column that is appended to the address where the request has no path of its own.
    """

    def __init__(
        self,
        request: Request,
        endpoint: Endpoint,
        expected: Expected | None = None,
        key: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._request = request
        self._endpoint = endpoint
        self._expected = expected
        self._clock = clock
        self._host = URL(endpoint.url)
        self._addressing = Addressing(request, endpoint, key)
        self._reader = AnswerReader(endpoint, expected, clock)
        self._session: aiohttp.ClientSession | None = None
        self._sent_at: dict[asyncio.Task[Any], float | None] = {}  # of requests in flight; None once its time is out

    async def __aenter__(self) -> "Client":
        # A proxy is left to aiohttp to look up: one that it is told is also told the session's headers, credentials
        # among them.
        proxied = await asyncio.to_thread(is_proxied, self._host)
        if not proxied:
            self._endpoint = await asyncio.to_thread(with_netrc, self._endpoint)
            self._reader = AnswerReader(self._endpoint, self._expected, self._clock)
        headers = {"Accept": "application/json", "User-Agent": "headrace", **self._endpoint.headers}
        if authorization := self._endpoint.basic_authorization():
            headers.setdefault("Authorization", authorization)
        self._session = aiohttp.ClientSession(
            headers=headers,
            # The number of calls in flight is the caller's to bound: a second limit here would hide the first.
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # `_send` has the request's own
            trust_env=proxied,
            middlewares=(_sent_once,),
        )
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._looking.cancel()
        if self._session:
            await self._session.close()

    async def call(self, row: Mapping[str, str], permit: Permit) -> Any:
        """The decoded JSON that answers for `row` (column -> value).

        `permit` is awaited before each further request that a redirect leads to; what it raises ends the call.
        Raises `TransientError` where a later try may succeed, `AccessError` for 401 and 403, `PermanentError` else.
        """
        addressing = self._addressing
        method, url, headers = self._request.method, addressing.url_for(row), addressing.headers_for(row)
        body = addressing.json_for(row)
        answer = await self._send(method, url, headers, body)
        sent: set[tuple[str, URL]] = set()
        while answer.status in REDIRECTS and "Location" in answer.headers:
            sent.add((method, url))
            url = self._target(url, answer)
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", None
            if (method, url) in sent:
                raise PermanentError(f"{answer.status}: a redirect in a circle")
            if len(sent) > MAX_REDIRECTS:
                raise PermanentError(f"more than {MAX_REDIRECTS} redirects")
            await permit()
            answer = await self._send(method, url, headers, body)
        return self._reader.value(answer)

    async def _send(self, method: str, url: URL, headers: dict[str, str] | None, body: Any) -> Answer:
        """One request and its whole answer; of a redirect the body is left."""
        task = asyncio.current_task()
        assert self._session is not None, "use `async with`"
        assert task is not None, "a call is a task's"
        self._sent_at[task] = asyncio.get_running_loop().time()
        try:
            response = await self._session.request(method, url, headers=headers, json=body, allow_redirects=False)
            try:
                led_on = response.status in REDIRECTS and "Location" in response.headers
                content = b"" if led_on else await self._body(response.content)
                return Answer(response.status, response.headers, content)
            finally:
                if not response.closed:
                    response.release()
        except asyncio.CancelledError as error:
            if self._sent_at[task] is not None or task.uncancel():  # cancelled by somebody else, if only as well
                raise
            raise TransientError(f"no complete answer within {self._request.timeout:g} s") from error
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as error:
            raise PermanentError(self._clean(f"the server's certificate is not trusted: {error}")) from error
        except aiohttp.InvalidURL as error:
            raise PermanentError("the URL made of the row's values is not valid") from error
        except aiohttp.ClientConnectorError as error:
            raise UnreachableError(self._clean(f"connection failed: {error}")) from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransientError(self._clean(f"connection failed: {error or type(error).__name__}")) from error
        finally:
            del self._sent_at[task]

    async def _look(self) -> None:
        """End the requests whose time is out."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            late = asyncio.get_running_loop().time() - self._request.timeout
            for task, sent_at in self._sent_at.items():
                if sent_at is not None and sent_at <= late:
                    self._sent_at[task] = None
                    task.cancel()

    def _target(self, url: URL, answer: Answer) -> URL:
        """Where a redirect leads: the same host only, and never from https to http, for credentials go along."""
        try:
            target = url.join(URL(answer.headers["Location"])).with_fragment(None)
        except ValueError as error:
            raise PermanentError("a redirect to something that is no URL") from error
        upgrade = (self._host.scheme, target.scheme) == ("http", "https") and self._host.is_default_port()
        same_port = target.port == self._host.port or (upgrade and target.is_default_port())
        if target.host != self._host.host or not same_port or (self._host.scheme, target.scheme) == ("https", "http"):
            raise PermanentError(
                f"{answer.status}: a redirect to {target.scheme}://{target.authority} was not followed; "
                f"allowed is the same host, {self._host.host}:{self._host.port}"
            )
        return target

    async def _body(self, content: aiohttp.StreamReader) -> bytes:
        """The whole body, decompressed; read in parts, so that one over the limit is never held whole."""
        body = await content.read(READ_BYTES)
        if not content.at_eof():
            parts = bytearray(body)
            while not content.at_eof() and len(parts) <= self._request.max_bytes:
                parts += await content.read(READ_BYTES)
            body = bytes(parts)
        if len(body) > self._request.max_bytes:
            raise PermanentError(f"the answer is larger than {self._request.max_bytes} bytes")
        return body

    def _clean(self, text: str) -> str:
        return self._endpoint.without_secrets(text)


async def _sent_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Where a kept connection breaks, aiohttp sends a GET once more: the ledger would count one call, the server two.

    It does so for these errors only.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error) or type(error).__name__) from error
