"""One call for one row: sent, bounded in time and size, and led along redirects of the same host.

A timeout and a dropped connection are transient, an untrusted certificate is permanent; what an answer itself means is
told in `answer.py`.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from yarl import URL

from include.common.errors import PermanentError, TransientError
from include.common.http.endpoint import Endpoint
from include.common.http.proxy import is_proxied, with_netrc
from include.enrichment.addressing import Addressing
from include.enrichment.answer import Answer, AnswerReader
from include.enrichment.deadline import Deadlines
from include.enrichment.models import Expected, Request

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
READ_BYTES = 64 * 1024


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
        self._deadlines: Deadlines | None = None

    async def __aenter__(self) -> "Client":
        self._deadlines = Deadlines(self._request.timeout)
        # A proxy is left to aiohttp to look up: one that it is told is also told the session's headers, credentials
        # among them.
        proxied = await asyncio.to_thread(is_proxied, self._host)
        if not proxied:
            self._endpoint = await asyncio.to_thread(with_netrc, self._endpoint)
            self._reader = AnswerReader(self._endpoint, self._expected, self._clock)
        headers = {"Accept": "application/json", "User-Agent": "headrace", **self._endpoint.headers}
        if authorization := self._endpoint.basic_authorization():
            headers.setdefault("Authorization", authorization)
        # The number of calls in flight is the caller's to bound: a second limit here would hide the first.
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # `call` has the request's own
            trust_env=proxied,
        )
        # A GET whose connection breaks would be sent once more behind our back: the ledger would count one call, the
        # server two. There is no public way to say so.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()
        if self._deadlines:
            self._deadlines.close()

    def url_for(self, row: Mapping[str, str]) -> str:
        """The URL of a row's call; raises `PermanentError` for a value that would change the path itself."""
        return self._addressing.text_for(row)

    async def call(self, row: Mapping[str, str]) -> Any:
        """The decoded JSON that answers for `row` (column -> value).

        Raises `TransientError` where a later try may succeed, `AccessError` for 401 and 403, `PermanentError` else.
        """
        return self._reader.value(await self._answer(row))

    async def _answer(self, row: Mapping[str, str]) -> Answer:
        assert self._deadlines is not None, "use `async with`"
        try:
            with self._deadlines.start():
                return await self._exchange(row)
        except TimeoutError as error:
            raise TransientError(f"no complete answer within {self._request.timeout:g} s") from error
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as error:
            raise PermanentError(self._clean(f"the server's certificate is not trusted: {error}")) from error
        except aiohttp.InvalidURL as error:
            raise PermanentError("the URL made of the row's values is not valid") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransientError(self._clean(f"connection failed: {error or type(error).__name__}")) from error

    async def _exchange(self, row: Mapping[str, str]) -> Answer:
        assert self._session is not None
        addressing = self._addressing
        method, url, headers = self._request.method, addressing.url_for(row), addressing.headers_for(row)
        body = addressing.json_for(row)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._session.request(method, url, headers=headers, json=body, allow_redirects=False)
            try:
                status = response.status
                if status not in REDIRECTS or "Location" not in response.headers:
                    return Answer(status, response.headers, await self._body(response.content))
                url = self._redirect(response)
            finally:
                if not response.closed:
                    response.release()
            if status == 303 or (status in (301, 302) and method == "POST"):
                method, body = "GET", None
        raise PermanentError(f"more than {MAX_REDIRECTS} redirects")

    def _redirect(self, response: aiohttp.ClientResponse) -> URL:
        """Where a redirect leads: the same host only, and never from https to http, for credentials go along."""
        try:
            target = response.url.join(URL(response.headers["Location"]))
        except ValueError as error:
            raise PermanentError("a redirect to something that is no URL") from error
        upgrade = (self._host.scheme, target.scheme) == ("http", "https") and self._host.is_default_port()
        same_port = target.port == self._host.port or (upgrade and target.is_default_port())
        if target.host != self._host.host or not same_port or (self._host.scheme, target.scheme) == ("https", "http"):
            raise PermanentError(
                f"{response.status}: a redirect to {target.scheme}://{target.authority} was not followed; "
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
