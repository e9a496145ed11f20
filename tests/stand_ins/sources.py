"""Stand-ins of what the reference parsers ask: a feed, VK's `wall.get`, YouTube's API. They count and misbehave."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PAGE = 50


@dataclass
class Sources:
    """What the services hold. `faults` are the next answers, in place of the right ones: (status, body, headers).

    `calls` counts by path; `forms` and `seen_headers` are what came.
    """

    feed: bytes = b""
    feed_headers: dict[str, str] = field(default_factory=dict)
    posts: list[dict[str, Any]] = field(default_factory=list)
    videos: list[dict[str, Any]] = field(default_factory=list)
    channels: dict[str, str] = field(default_factory=dict)
    faults: deque[tuple[int, Any, dict[str, str]]] = field(default_factory=deque)
    calls: Counter[str] = field(default_factory=Counter)
    forms: list[dict[str, str]] = field(default_factory=list)
    seen_headers: list[dict[str, str]] = field(default_factory=list)

    def fault(self, body: Any = b"", status: int = 200, **headers: str) -> None:
        """One more answer that is wrong; JSON where `body` is no bytes."""
        self.faults.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    def app(self) -> web.Application:
        """The web application."""

        @web.middleware
        async def counting(request: web.Request, handler: Any) -> web.StreamResponse:
            self.calls[request.path] += 1
            self.seen_headers.append(dict(request.headers))
            if not self.faults:
                return await handler(request)
            status, body, headers = self.faults.popleft()
            if isinstance(body, bytes):
                return web.Response(status=status, body=body, headers=headers)
            return web.json_response(body, status=status, headers=headers)

        app = web.Application(middlewares=[counting])
        app.router.add_get("/feed", self.get_feed)
        app.router.add_get("/moved", self.get_feed)
        app.router.add_post("/method/wall.get", self.wall)
        app.router.add_get("/youtube/v3/channels", self.get_channels)
        app.router.add_get("/youtube/v3/playlistItems", self.get_playlist)
        app.router.add_get("/youtube/v3/videos", self.get_videos)
        return app

    async def get_feed(self, request: web.Request) -> web.Response:
        """The feed, or 304 where the client has it."""
        wanted = request.headers
        etag, modified = self.feed_headers.get("ETag"), self.feed_headers.get("Last-Modified")
        if (etag and wanted.get("If-None-Match") == etag) or (modified and wanted.get("If-Modified-Since") == modified):
            return web.Response(status=304)
        return web.Response(body=self.feed, headers={"Content-Type": "application/xml", **self.feed_headers})

    async def wall(self, request: web.Request) -> web.Response:
        """`wall.get`: the pinned post first, then the newest."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        if form.get("access_token") != "vk-secret" or form.get("v") != "5.199" or int(form["count"]) > 100:
            return web.json_response({"error": {"error_code": 100, "error_msg": "One of the parameters is missing"}})
        start = int(form["offset"])
        posts = sorted(self.posts, key=lambda post: (not post.get("is_pinned"), -post["id"]))
        items = posts[start : start + int(form["count"])]
        return web.json_response({"response": {"count": len(posts), "items": items}})

    async def get_channels(self, request: web.Request) -> web.Response:
        """`channels.list`: the uploads playlist."""
        if refused := self._refused(request):
            return refused
        wanted = request.query.get("id") or request.query.get("forHandle") or request.query.get("forUsername") or ""
        uploads = self.channels.get(wanted)
        items = [{"contentDetails": {"relatedPlaylists": {"uploads": uploads}}}] if uploads else []
        return web.json_response({"items": items})

    async def get_playlist(self, request: web.Request) -> web.Response:
        """`playlistItems.list`, 50 a page."""
        if refused := self._refused(request):
            return refused
        start = int(request.query.get("pageToken", "0"))
        page = self.videos[start : start + PAGE]
        details = [
            {"videoId": video["id"], **({"videoPublishedAt": video["at"]} if video.get("at") else {})} for video in page
        ]
        answer: dict[str, Any] = {"items": [{"contentDetails": each} for each in details]}
        if start + PAGE < len(self.videos):
            answer["nextPageToken"] = str(start + PAGE)
        return web.json_response(answer)

    async def get_videos(self, request: web.Request) -> web.Response:
        """`videos.list`: what is private is left out."""
        if refused := self._refused(request):
            return refused
        wanted = request.query["id"].split(",")
        assert len(wanted) <= PAGE
        items = [
            {
                "id": video["id"],
                "snippet": {"title": f"Video {video['id']}", "publishedAt": video["at"], "channelTitle": "Channel"},
                "statistics": {"viewCount": "12"},
                "contentDetails": {"duration": "PT3M"},
            }
            for video in self.videos
            if video["id"] in wanted and video.get("at")
        ]
        return web.json_response({"items": items})

    @staticmethod
    def _refused(request: web.Request) -> web.Response | None:
        if request.headers.get("X-Goog-Api-Key") == "yt-secret" and "key" not in request.query:
            return None
        error = {"code": 400, "message": "API key not valid.", "errors": [{"reason": "badRequest"}]}
        return web.json_response({"error": error}, status=400)
