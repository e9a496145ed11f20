"""What stands before every application of the pages: who may enter, and the policy of every answer.

It stands before the routes, not on them: no route is open by forgetting, neither a mounted one nor the schema's.
"""

import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.common.errors import HeadraceError

log = logging.getLogger(__name__)

PUBLIC = "/static/"
READING = ("GET", "HEAD", "OPTIONS")
# Airflow's login cookie can be read by scripts: one that is injected would steal it, so none but ours runs.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'self'; form-action 'self'; base-uri 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
PRIVATE = {"Cache-Control": "no-store", "Vary": "HX-Request, Accept"}


@dataclass(frozen=True)
class Access:
    """Who may do what in an application, as whoever mounts it knows.

    `user_of` gives the user of a request, or raises an `HTTPException` of 401 or 403. `may_read` and `may_change` are
    asked in a thread, and say whether that user may see the application's pages, and do something there.
    """

    user_of: Callable[[Request], Awaitable[Any]]
    may_read: Callable[[Any], bool]
    may_change: Callable[[Any], bool]


@dataclass(frozen=True)
class Visitor:
    """Who asks: `request.state.visitor` in a route."""

    user: Any
    may_change: bool


class Guard:
    """Middleware that asks `access` before anything else, and puts the policy's headers on every answer.

    `changing` are the paths, without a slash at their end, at which a `GET` changes something too.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        answer: Callable[[Request, Exception], Response],
        changing: Collection[str] = (),
    ) -> None:
        self._app, self._access, self._answer, self._changing = app, access, answer, changing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # the pages have none
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _below_prefix(scope)
        request, begun = Request(scope, receive), False
        public = request.method in READING and path_of(scope).startswith(PUBLIC)

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update({**HEADERS, **({} if public else PRIVATE)})
            await send(message)

        try:
            if not public:
                await self._admit(request)
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if begun:
                raise
            if not isinstance(error, HTTPException | HeadraceError):
                log.exception("%s %s failed", request.method, scope["path"])
            await self._answer(request, error)(scope, receive, send_with_headers)

    async def _admit(self, request: Request) -> None:
        """Note who asks; an `HTTPException` where that is nobody, may not, or was sent here by another site's page."""
        user = await self._access.user_of(request)
        may_change = await run_in_threadpool(self._access.may_change, user)
        if request.method in READING and path_of(request.scope).rstrip("/") not in self._changing:
            if not await run_in_threadpool(self._access.may_read, user):
                raise HTTPException(403, "You may not see this page: it takes the right to see its DAGs.")
        elif not may_change:
            raise HTTPException(403, "You may not do that: it takes the right to start runs of this page's DAGs.")
        elif not _is_own(request):
            raise HTTPException(403, "Nothing was done: the request did not come from one of Headrace's own pages.")
        request.state.visitor = Visitor(user, may_change)


def _is_own(request: Request) -> bool:
    """Whether a request was sent by our page, or by a program with a token: another site's page has only the cookie."""
    headers = request.headers
    if headers.get("authorization", "").lower().startswith("bearer "):
        return True
    if site := headers.get("sec-fetch-site"):
        same = site == "same-origin"
    else:  # an old browser, or plain http to another host than localhost
        same = urlsplit(headers.get("origin", "")).netloc == headers.get("host")
    return same and headers.get("hx-request") == "true"


def _below_prefix(scope: Scope) -> Scope:
    """The scope of a request as it would come through the proxy, also where it came past it, without Airflow's prefix.

    A scrape and a health check ask the api-server itself; Starlette finds no route of a mounted application then.
    """
    root, prefix = scope.get("root_path", ""), scope.get("app_root_path", "")
    if not prefix or scope["path"].startswith(root):
        return scope
    return {**scope, "path": prefix + scope["path"]}


def path_of(scope: Scope) -> str:
    """The path below the application's own root."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
