"""YouTube: the videos of a channel or a playlist. `latest` gives those that are new, `all` the list.

The cheap way, one unit of the day's 10,000 a call: the channel's playlist of uploads (asked once and kept), its pages
of 50, and the videos of each page.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from include.common.errors import PermanentError, TransientError
from include.common.text import one_line
from include.parser_tasks.messages import TaskMessage
from include.parser_tasks.parsers.json_api import Latest, inner, object_of
from include.parser_tasks.parsers.store import LATEST, Store, check_type, seen, setting
from include.parser_tasks.parsers.web import Answer, Web

URL = "https://www.googleapis.com/youtube/v3"
PAGE = "50"
# Videos of one task, where the setting `most_items` of the source says nothing.
MOST_ITEMS = 5_000
RETRIED = ("rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError", "SERVICE_UNAVAILABLE")
QUOTA = ("quotaExceeded", "dailyLimitExceeded")


class Youtube:
    """The parser of channels; `source.address` is a channel's id or @handle, a playlist's id, or the URL of one."""

    def __init__(self, web: Web, store: Store, key: str, url: str = URL) -> None:
        self._web, self._store, self._key, self._url = web, store, key, url.rstrip("/")

    def __call__(self, task: TaskMessage) -> Mapping[str, Any]:
        """The statistics of a task."""
        check_type(task)
        if (finished := self._store.finished(task)) is not None:
            return finished
        known = self._store.state(task)
        latest = Latest(known.get("seen", []), known.get("since", 0.0)) if task.task_type == LATEST else None
        reading = _Reading(self, task)
        playlist = known.get("uploads") or reading.uploads()
        entries = reading.entries(playlist, latest)
        wanted = [key for key, at in entries.items() if latest is None or latest.is_new(key, at)]
        videos = reading.videos(wanted)
        told = {"units": reading.units, "unavailable": len(wanted) - len(videos)}
        known = {**known, "uploads": playlist}
        if latest:
            # What is private today is not remembered: it is new on the day it can be seen.
            since = known.get("since") or min(filter(None, entries.values()), default=0.0)
            known = {**known, "seen": seen(videos, latest.seen), "since": since}
        return self._store.keep(task, [_item(videos[key]) for key in wanted if key in videos], known, **told)

    def call(self, task: TaskMessage, what: str, query: Mapping[str, str]) -> dict[str, Any]:
        """The answer of a method; the key is in a header, where no log of addresses has it."""
        headers = {"X-Goog-Api-Key": self._key}
        url = f"{self._url}/{what}"
        return self._web.retried(
            task, lambda: _checked(self._web.call(task, "GET", url, headers=headers, params=query))
        )


class _Reading:
    """The calls of one task, which it counts: each is a unit of the quota."""

    def __init__(self, parser: Youtube, task: TaskMessage) -> None:
        self._parser, self._task, self.units = parser, task, 0

    def uploads(self) -> str:
        """The playlist that an address means."""
        address = _address(self._task.source.address)
        if "playlist" in address:
            return address["playlist"]
        channels = inner(self._call("channels", part="contentDetails", **address), "items", default=[])
        found = inner(channels[0], "contentDetails", "relatedPlaylists", "uploads", default="") if channels else ""
        if not found:
            raise PermanentError(f"YouTube has no channel `{one_line(self._task.source.address)}`")
        return str(found)

    def entries(self, playlist: str, latest: Latest | None) -> dict[str, float]:
        """The ids of a playlist's videos with the time of their publication, as far as they are wanted."""
        most = setting(self._task, "most_items", MOST_ITEMS)
        entries: dict[str, float] = {}
        token = ""
        while True:
            more = {"pageToken": token} if token else {}
            answer = self._call("playlistItems", part="contentDetails", playlistId=playlist, maxResults=PAGE, **more)
            page = {
                inner(item, "contentDetails", "videoId", default=""): _time(
                    inner(item, "contentDetails", "videoPublishedAt", default="")
                )
                for item in inner(answer, "items", default=[])
            }
            page.pop("", None)
            entries |= page
            token = inner(answer, "nextPageToken", default="")
            # A private video has no time of publication, so it says nothing about those behind it.
            dated = [(key, at) for key, at in page.items() if at]
            if not token or len(entries) >= most or (latest and latest.is_last_page(dated)):
                return dict(list(entries.items())[:most])

    def videos(self, keys: list[str]) -> dict[str, dict[str, Any]]:
        """What can be seen of the videos, by id."""
        videos: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), int(PAGE)):
            ids = ",".join(keys[start : start + int(PAGE)])
            found = self._call("videos", part="snippet,statistics,contentDetails", id=ids, maxResults=PAGE)
            videos |= {inner(item, "id", default=""): item for item in inner(found, "items", default=[])}
        return videos

    def _call(self, what: str, **query: str) -> dict[str, Any]:
        self.units += 1
        return self._parser.call(self._task, what, query)


def _address(text: str) -> dict[str, str]:
    name = re.sub(r"^(https?://)?(www\.|m\.)?youtube\.com/", "", text.strip())
    if match := re.search(r"(?:^|[?&]list=)((?:PL|UU|FL|OL)[A-Za-z0-9_-]{10,})", name):
        return {"playlist": match[1]}
    if match := re.search(r"(?:^|channel/|channel_id=)(UC[A-Za-z0-9_-]{22})(?:[/?#]|$)", name):
        return {"id": match[1]}
    if match := re.match(r"user/([A-Za-z0-9]+)", name):
        return {"forUsername": match[1]}
    if match := re.match(r"(@[^/?#\s]+)", name):
        return {"forHandle": match[1]}
    raise PermanentError(
        f"address `{one_line(text)}` names no channel; allowed is a channel's id or @handle, a playlist's id, or a URL"
    )


def _checked(answer: Answer) -> dict[str, Any]:
    found = object_of(answer)
    if answer.status == 200:
        return found
    errors = inner(found, "error", "errors", default=[])
    reason = inner(errors[0], "reason", default="") if errors else ""
    said = one_line(inner(found, "error", "message", default=""))
    sentence = f"YouTube answered {answer.status} {reason}: {said}"
    if reason in RETRIED:
        raise TransientError(sentence)
    if reason in QUOTA:
        raise PermanentError(f"{sentence}; the day's units are used up until midnight in California")
    raise PermanentError(sentence)


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _item(video: Mapping[str, Any]) -> dict[str, Any]:
    key = inner(video, "id", default="")
    counts = inner(video, "statistics", default={})
    return {
        "key": key,
        "title": inner(video, "snippet", "title", default=""),
        "link": f"https://www.youtube.com/watch?v={key}",
        "published": inner(video, "snippet", "publishedAt", default=""),
        "channel": inner(video, "snippet", "channelTitle", default=""),
        "duration": inner(video, "contentDetails", "duration", default=""),
        # YouTube sends them as texts; what an owner hides is missing.
        **{name: int(counts[f"{name[:-1]}Count"]) for name in ("views", "likes") if f"{name[:-1]}Count" in counts},
    }
