"""One call for one row: how it is addressed, sent, bounded, and what its answer means.

408, 425, 429, 5xx, a timeout, a dropped connection, an answer that is no JSON and a soft error are transient; 401 and
403 concern every row; any other status from 400 on is permanent for the row (RFC 9110, RFC 6585, RFC 8470).
"""

import asyncio
import email.utils
import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from include.common.errors import PermanentError, TransientError
from include.common.templates import Template, render_json
from include.enrichment.endpoint import Endpoint, redacted
from include.enrichment.models import Expected, Request

TRANSIENT = frozenset({408, 425, 429})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
READ_BYTES = 64 * 1024
# Characters of an answer that an error quotes, and bytes that are looked at for them.
QUOTED_LENGTH = 200
LOOKED_AT = 4096
MAX_DEPTH = 100


class AccessError(PermanentError):
    """401 or 403: the credentials are refused, so every other row would be refused as well."""


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds named by a `Retry-After` header (seconds or an HTTP date, RFC 9110 10.2.3); None for neither."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,15}(\.\d{1,15})?\s*", value, re.ASCII):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
        if moment.tzinfo is None:  # RFC 9110 5.6.7: an HTTP date is in GMT, said or not
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, OverflowError):
        return None


class Client:
    """Calls `request` on `endpoint` for one row after another over one session. Use as an async context manager."""

    def __init__(
        self,
        request: Request,
        endpoint: Endpoint,
        expected: Expected | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._request = request
        self._endpoint = endpoint
        self._expected = expected
        self._clock = clock
        self._path = Template("request.path", request.path)
        # A row's URL is the address, then the rendered path; the address's own query stays in front of ours.
        base = URL(endpoint.url).with_fragment(None)
        self._host = base
        self._base = str(base.with_query(None).with_user(None)).rstrip("/")
        self._query = [*base.query.items(), *endpoint.query.items()]
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Client":
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
            trust_env=True,  # HTTPS_PROXY and NO_PROXY, as everywhere else
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    def url_for(self, row: Mapping[str, str]) -> str:
        """The URL of a row's call, each value percent-encoded as one path segment or query value.

        Raises `PermanentError` for a value that would change the path itself.
        """
        path = self._path.render(row, lambda value: quote(value, safe=""))
        if any(segment in (".", "..") for segment in path.split("/")):
            raise PermanentError("`.` and `..` are not values that a path can hold")
        query = [
            *self._query,
            *((name, Template(name, text).render(row)) for name, text in self._request.query.items()),
        ]
        url = self._base + (path if path.startswith("/") or not path else f"/{path}")
        return url + ("&" if "?" in path else "?") + urlencode(query) if query else url

    async def call(self, row: Mapping[str, str]) -> Any:
        """The decoded JSON that answers for `row` (column -> value).

        Raises `TransientError` where a later try may succeed, `AccessError` for 401 and 403, `PermanentError` else.
        """
        assert self._session is not None, "use `async with`"
        try:
            async with asyncio.timeout(self._request.timeout):
                status, headers, body = await self._exchange(row)
        except TimeoutError as error:
            raise TransientError(f"no complete answer within {self._request.timeout:g} s") from error
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as error:
            raise PermanentError(self._clean(f"the server's certificate is not trusted: {error}")) from error
        except aiohttp.InvalidURL as error:
            raise PermanentError("the URL made of the row's values is not valid") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransientError(self._clean(f"connection failed: {error or type(error).__name__}")) from error
        return self._read(status, headers, body)

    async def _exchange(self, row: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        assert self._session is not None
        method, url = self._request.method, self.url_for(row)
        headers = {name: Template(name, text).render(row) for name, text in self._request.headers.items()}
        for name, value in headers.items():
            if "\r" in value or "\n" in value:
                raise PermanentError(f"the header `{name}` would hold a line break")
        body = None if self._request.json is None else render_json("request.json", self._request.json, row)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.request(
                method, URL(url, encoded=True), headers=headers, json=body, allow_redirects=False
            ) as response:
                if response.status not in REDIRECTS or "Location" not in response.headers:
                    return response.status, response.headers, await self._body(response)
                url = str(self._redirect(response))
                if response.status == 303 or (response.status in (301, 302) and method == "POST"):
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

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for part in response.content.iter_chunked(READ_BYTES):
            body += part
            if len(body) > self._request.max_bytes:
                raise PermanentError(f"the answer is larger than {self._request.max_bytes} bytes")
        return bytes(body)

    def _read(self, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        wait = retry_after(headers.get("Retry-After"), self._clock())
        if status in (401, 403):
            raise AccessError(
                f"{status}: {redacted(self._endpoint.url)} refuses the credentials (from {self._endpoint.origin})"
            )
        if status in TRANSIENT or status >= 500:
            raise TransientError(self._describe(status, body), wait)
        if not 200 <= status < 300:
            raise PermanentError(self._describe(status, body))
        if status == 204 and not self._expected:
            return None
        try:
            # Python's own decoder: it keeps integers of any size, and reads NaN, which some servers send.
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise TransientError(f"{status} with a body that is not JSON: {self._excerpt(body)}", wait) from error
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH and not _is_shallow(answer):
            raise PermanentError(f"the answer is nested deeper than {MAX_DEPTH} levels")
        if self._expected:
            self._check(answer, self._expected, wait)
        return answer

    def _check(self, answer: Any, expected: Expected, wait: float | None) -> None:
        found = answer if isinstance(answer, Mapping) else {}
        value = found.get(expected.key)
        if value not in (None, "", [], {}) and (expected.kind == "any" or isinstance(value, Mapping)):
            return
        note = next((found[name] for name in expected.notes if name in found), None)
        said = f": {self._clean(str(note))[:QUOTED_LENGTH]}" if note else ""
        raise TransientError(f"200 without `{expected.key}`{said}", wait)

    def _describe(self, status: int, body: bytes) -> str:
        return f"{status}: {self._excerpt(body)}" if body.strip() else f"{status}"

    def _excerpt(self, body: bytes) -> str:
        text = self._clean(body[:LOOKED_AT].decode("utf-8", "replace"))
        if len(body) > LOOKED_AT:  # a secret that is cut off at the end was not recognized
            text = text[: -max(map(len, self._endpoint.secrets), default=1)]
        text = " ".join(text.split())
        return f"`{text[:QUOTED_LENGTH]}{'…' * (len(text) > QUOTED_LENGTH)}`" if text else "(empty)"

    def _clean(self, text: str) -> str:
        return self._endpoint.without_secrets(text)


def _is_shallow(answer: Any) -> bool:
    """Whether `answer` is nested at most `MAX_DEPTH` deep; what walks it later does so by recursion."""
    level = [answer]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return True
    return False
