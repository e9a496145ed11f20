"""The demo sources' routes; `GET /` lists them.

`/feeds/news.xml`, with ETag and Last-Modified; `/feeds/moved.xml`, which leads there for good; `/feeds/slow.xml`,
which answers late. `POST /method/wall.get` is the wall `demo_mill` or -1, one post of which is pinned. `/youtube/v3/…`
has the channel `@demo`. Tokens and keys may be any.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web

from include.demo_sources.content import Item, item, newest

CHANNEL, UPLOADS = "UCdemoHeadraceDemoSource", "UUdemoHeadraceDemoSource"
OWNER = -1
# Items that a feed shows, and that the wall and the channel have.
IN_FEED, IN_ALL, PAGE = 20, 250, 50


class DemoSources:
    """All of them. A new item comes `every` seconds; the slow feed answers after `slow` seconds."""

    def __init__(self, every: float = 20.0, slow: float = 120.0, now: Callable[[], float] = time.time) -> None:
        self.every, self.slow, self._now = every, slow, now

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application()
        app.router.add_get("/", self.listed)
        app.router.add_get("/feeds/news.xml", self.news)
        app.router.add_get("/feeds/moved.xml", self.moved)
        app.router.add_get("/feeds/slow.xml", self.slow_news)
        app.router.add_post("/method/wall.get", self.wall)
        app.router.add_get("/youtube/v3/channels", self.channels)
        app.router.add_get("/youtube/v3/playlistItems", self.playlist_items)
        app.router.add_get("/youtube/v3/videos", self.videos)
        return app

    async def listed(self, request: web.Request) -> web.Response:
        """What there is."""
        root = f"{request.scheme}://{request.host}"
        feeds = [f"{root}/feeds/{name}.xml" for name in ("news", "moved", "slow")]
        return web.json_response({"demo": {"feeds": feeds, "vk": ["demo_mill"], "youtube": ["@demo", CHANNEL]}})

    async def news(self, request: web.Request) -> web.Response:
        """The feed, or 304 where the client has it."""
        items = list(newest(self._now(), self.every, IN_FEED))
        headers = {"ETag": f'"demo-{items[0].number}"', "Last-Modified": formatdate(items[0].at, usegmt=True)}
        wanted = request.headers
        if headers["ETag"] in wanted.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        if "If-None-Match" not in wanted and wanted.get("If-Modified-Since") == headers["Last-Modified"]:
            return web.Response(status=304, headers=headers)
        root = f"{request.scheme}://{request.host}"
        body = _rss(root, items)
        return web.Response(text=body, content_type="application/rss+xml", charset="utf-8", headers=headers)

    async def moved(self, request: web.Request) -> web.Response:
        """It is the news now."""
        return web.Response(status=301, headers={"Location": "/feeds/news.xml"})

    async def slow_news(self, request: web.Request) -> web.Response:
        """The feed, later than anybody waits for it."""
        for _ in range(int(self.slow / 0.05)):
            if request.transport is None:  # the client has gone
                break
            await asyncio.sleep(0.05)
        return await self.news(request)

    async def wall(self, request: web.Request) -> web.Response:
        """VK's answer; an error has status 200 as well."""
        form = await request.post()
        if not form.get("access_token"):
            return _vk_error(5, "User authorization failed: no access_token passed.")
        if form.get("domain") != "demo_mill" and form.get("owner_id") != str(OWNER):
            return _vk_error(100, "One of the parameters specified was missing or invalid: owner_id not found")
        offset, count = _whole(form.get("offset"), 0), _whole(form.get("count"), 20)
        if not 1 <= count <= 100:
            return _vk_error(100, "One of the parameters specified was missing or invalid: count")
        # The first post of today is pinned: it comes first and not where its time would have it.
        first = item(int(self._now() // 86400 * 86400 // self.every), self.every)
        plain = newest(self._now(), self.every, min(count + 1, max(0, IN_ALL - offset)), max(0, offset - 1))
        posts = [_post(each) for each in plain if each != first]
        posts = [{**_post(first), "is_pinned": 1}, *posts][:count] if offset == 0 else posts[:count]
        return web.json_response({"response": {"count": IN_ALL, "items": posts}})

    async def channels(self, request: web.Request) -> web.Response:
        """The demo channel with its playlist of uploads."""
        if request.query.get("id") not in (None, CHANNEL) or request.query.get("forHandle") not in (None, "@demo"):
            return web.json_response({"kind": "youtube#channelListResponse", "items": []})
        details = {"relatedPlaylists": {"uploads": UPLOADS}}
        channel = {"kind": "youtube#channel", "id": CHANNEL, "contentDetails": details}
        return web.json_response({"kind": "youtube#channelListResponse", "items": [channel]})

    async def playlist_items(self, request: web.Request) -> web.Response:
        """A page of the uploads, 50 at most."""
        if request.query.get("playlistId") != UPLOADS:
            return _youtube_error(404, "playlistNotFound", "The playlist cannot be found. (demo)")
        start, size = _whole(request.query.get("pageToken"), 0), min(PAGE, _whole(request.query.get("maxResults"), 5))
        found = newest(self._now(), self.every, min(size, max(0, IN_ALL - start)), start)
        items = [{"contentDetails": {"videoId": _video_id(each), "videoPublishedAt": _iso(each.at)}} for each in found]
        answer: dict[str, Any] = {"kind": "youtube#playlistItemListResponse", "items": items}
        if start + size < IN_ALL:
            answer["nextPageToken"] = str(start + size)
        return web.json_response(answer)

    async def videos(self, request: web.Request) -> web.Response:
        """Up to 50 videos by their ids."""
        ids = request.query.get("id", "").split(",")
        if len(ids) > PAGE:
            return _youtube_error(400, "invalidFilters", "Too many ids. (demo)")
        numbers = [int(each[4:]) for each in ids if each.startswith("demo") and each[4:].isdecimal()]
        found = [_video(item(number, self.every)) for number in numbers]
        return web.json_response({"kind": "youtube#videoListResponse", "items": found})


def _rss(root: str, items: list[Item]) -> str:
    entries = "".join(
        f"<item><guid isPermaLink='false'>demo-{each.number}</guid><title>{escape(each.title)}</title>"
        f"<link>{escape(root)}/demo/{each.number}</link><description>{escape(each.text)}</description>"
        f"<pubDate>{formatdate(each.at, usegmt=True)}</pubDate><category>demo</category></item>"
        for each in items
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>Demo news</title>'
        f"<link>{escape(root)}/</link><description>News that nobody wrote (demo)</description>{entries}</channel></rss>"
    )


def _post(each: Item) -> dict[str, Any]:
    counts = {name: {"count": each.number % top} for name, top in (("likes", 90), ("reposts", 7), ("comments", 11))}
    return {
        "id": each.number,
        "owner_id": OWNER,
        "from_id": OWNER,
        "date": int(each.at),
        "text": f"{each.title}. {each.text}",
        "attachments": [{"type": "photo"}] if each.number % 3 == 0 else [],
        **counts,
    }


def _video(each: Item) -> dict[str, Any]:
    return {
        "kind": "youtube#video",
        "id": _video_id(each),
        "snippet": {"title": each.title, "publishedAt": _iso(each.at), "channelTitle": "Demo channel"},
        "statistics": {"viewCount": str(each.number % 5000), "likeCount": str(each.number % 300)},
        "contentDetails": {"duration": f"PT{1 + each.number % 9}M{each.number % 60}S"},
    }


def _video_id(each: Item) -> str:
    return f"demo{each.number}"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(text: Any, default: int) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 10 else default


def _vk_error(code: int, message: str) -> web.Response:
    return web.json_response({"error": {"error_code": code, "error_msg": f"{message} (demo)"}})


def _youtube_error(status: int, reason: str, message: str) -> web.Response:
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    return web.json_response({"error": error}, status=status)
