"""RSS and Atom: `latest` gives the entries that are new since the last time, `all` what the feed has now.

A feed that answers 304 has nothing new; one that has moved for good is asked at its new address from then on; 410 ends
it. An entry's key is its guid, else its link.
"""

import calendar
import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin
from xml.parsers import expat

import feedparser
from feedparser.encodings import convert_to_utf8

from include.common.errors import PermanentError, TransientError
from include.common.http.redaction import redacted
from include.parser_tasks.messages import TaskMessage
from include.parser_tasks.parsers.store import LATEST, Store, check_type, seen
from include.parser_tasks.parsers.web import Answer, Web
from include.parser_tasks.worker import SourceGoneError

ACCEPT = "application/atom+xml, application/rss+xml, application/xml;q=0.9, text/xml;q=0.8, */*;q=0.1"
# Characters of a text that are kept.
LONGEST = 20_000
LONGEST_KEY = 500


class Rss:
    """The parser of feeds; `source.address` is a feed's URL."""

    def __init__(self, web: Web, store: Store) -> None:
        self._web, self._store = web, store

    def __call__(self, task: TaskMessage) -> Mapping[str, Any]:
        """The statistics of a task."""
        check_type(task)
        if (finished := self._store.finished(task)) is not None:
            return finished
        known = self._store.state(task)
        latest = task.task_type == LATEST
        answer = self._web.retried(task, lambda: self._asked(task, known, latest))
        moved = {"url": answer.moved_to} if answer.moved_to else {}
        told = {"moved_to": redacted(answer.moved_to)} if moved else {}
        if answer.status == 304:
            return self._store.keep(task, [], {**known, **moved}, unchanged=True, **told)
        items = entries(answer)
        if not latest:
            return self._store.keep(task, items, {**known, **moved}, **told)
        before = known.get("seen", [])
        old = frozenset(before)
        new = [item for item in items if item["key"] not in old]
        tags = {name: answer.headers[name] for name in ("etag", "last-modified") if name in answer.headers}
        known = {**_without_tags(known), **moved, **tags, "seen": seen((item["key"] for item in items), before)}
        return self._store.keep(task, new, known, in_feed=len(items), **told)

    def _asked(self, task: TaskMessage, known: Mapping[str, Any], latest: bool) -> Answer:
        headers = {"Accept": ACCEPT}
        if latest and "etag" in known:
            headers["If-None-Match"] = known["etag"]
        if latest and "last-modified" in known:
            headers["If-Modified-Since"] = known["last-modified"]
        url = known.get("url", task.source.address)
        answer = self._web.get(task, url, headers)
        where = f"`{redacted(answer.url)}` answered {answer.status}"
        if answer.status == 410:
            raise SourceGoneError(f"{where}: the feed is gone for good")
        if answer.status == 404:  # live feeds answer so now and then, YouTube's among them
            raise TransientError(where)
        if answer.status not in (200, 304):
            raise PermanentError(where)
        return answer


def entries(answer: Answer) -> list[dict[str, Any]]:
    """The entries of a feed, each key once. Raises `PermanentError` where the answer is none."""
    where = f"`{redacted(answer.url)}`"
    result: dict[str, Any] = {"bozo": False}
    body = convert_to_utf8(dict(answer.headers), answer.body, result) if answer.body.strip() else b""
    if _declares_entities(body):
        raise PermanentError(f"{where} declares XML entities, which are not expanded")
    # Without the feed's address: by it, a guid would be another one where the feed has moved.
    feed = feedparser.parse(io.BytesIO(body), response_headers={"content-type": "application/xml; charset=utf-8"})
    if not feed.get("version") and not feed.entries:
        raise PermanentError(f"{where} is neither RSS nor Atom")
    found: dict[str, dict[str, Any]] = {}
    for item in (_item(entry, answer.url) for entry in feed.entries):
        found.setdefault(item["key"], item)
    return list(found.values())


def _item(entry: Any, url: str) -> dict[str, Any]:
    title, link = entry.get("title", ""), entry.get("link", "")
    summary = entry.get("summary", "")[:LONGEST]
    key = entry.get("id") or link or f"{title}\n{summary}"
    if len(key) > LONGEST_KEY or not (entry.get("id") or link):
        key = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
    return {
        "key": key,
        "title": title,
        "link": _joined(url, link),
        "published": _time(entry.get("published_parsed")),
        # Its own `get` would give the time of publication, with a warning, where there is no other.
        "updated": _time(dict.get(entry, "updated_parsed")),
        "author": entry.get("author", ""),
        "tags": [tag["term"] for tag in entry.get("tags", []) if tag.get("term")],
        "summary": summary,
    }


def _joined(url: str, link: str) -> str:
    try:
        return urljoin(url, link) if link else ""
    except ValueError:
        return link


def _time(parsed: Any) -> str | None:
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC).isoformat() if parsed else None
    except (ValueError, OverflowError):
        return None


def _without_tags(known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in known.items() if name not in ("etag", "last-modified")}


class _EnoughError(Exception):
    """The first element, or the first entity."""


def _declares_entities(body: bytes) -> bool:
    """Whether there are entities, which may be files or grow without end; looks no further than the first element."""
    found = []

    def entity(*_: Any) -> None:
        found.append(True)
        raise _EnoughError

    def element(*_: Any) -> None:
        raise _EnoughError

    reader = expat.ParserCreate()
    reader.EntityDeclHandler, reader.StartElementHandler = entity, element
    try:
        reader.Parse(body, True)
    except _EnoughError:
        return bool(found)
    except expat.ExpatError:
        return b"<!ENTITY" in body
    return False
