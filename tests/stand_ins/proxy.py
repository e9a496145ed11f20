"""A stand-in for a reverse proxy such as nginx: passes on what comes below a prefix, or says 502."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import aiohttp
from aiohttp import web

from tests.stand_ins.serving import serving

# Of one connection only, which each side has for itself (RFC 9110, 7.6.1); the length is aiohttp's to say.
HOP = ("connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length", "host")


class ProxyStandIn:
    """Passes `<web>/…` on to a server on loopback at `port`, below the same prefix. Use as a context manager.

    A body waits `pause` seconds after each of its parts. `paths` are those outside of the prefix that were asked for.
    """

    def __init__(self, prefix: str, port: int) -> None:
        self.prefix, self.port = prefix, port
        self.pause = 0.0
        self.passed = 0  # bytes of bodies
        self.paths: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> "ProxyStandIn":
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.web = f"http://127.0.0.1:{self._stack.enter_context(serving(app))}{self.prefix}"
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not request.path.startswith(f"{self.prefix}/"):
            self.paths.append(request.path)
            return web.Response(status=404, text="not Airflow's")
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP]
        sent: dict[str, Any] = {"data": self._body(request)} if request.can_read_body else {}
        if sent and request.content_length is not None:
            headers.append(("Content-Length", str(request.content_length)))
        headers += [("Host", request.host), ("X-Forwarded-Proto", "http")]
        try:
            async with (
                aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.request(
                    request.method,
                    f"http://127.0.0.1:{self.port}{request.raw_path}",
                    headers=headers,
                    allow_redirects=False,
                    **sent,
                ) as answer,
            ):
                content = await answer.read()
        except aiohttp.ClientError:
            return web.Response(status=502, text="<h1>502 Bad Gateway</h1>", content_type="text/html")
        back = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP]
        return web.Response(status=answer.status, body=content, headers=back)

    async def _body(self, request: web.Request) -> AsyncIterator[bytes]:
        async for part, _ in request.content.iter_chunks():
            yield part
            self.passed += len(part)
            await asyncio.sleep(self.pause)
