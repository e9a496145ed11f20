"""VK: the posts of a wall by `wall.get`, the pinned one among them. `latest` gives what is new, `all` the wall."""

import re
from collections.abc import Mapping
from typing import Any

from include.common.errors import PermanentError, TransientError
from include.common.text import one_line
from include.parser_tasks.messages import TaskMessage
from include.parser_tasks.parsers.json_api import Latest, inner, object_of
from include.parser_tasks.parsers.store import LATEST, Store, check_type, seen, setting
from include.parser_tasks.parsers.web import Answer, Web

URL = "https://api.vk.com"
VERSION = "5.199"
PAGE = 100
# Posts of one task, where the setting `most_items` of the source says nothing.
MOST_ITEMS = 10_000
# Seconds between two calls: VK allows three a second.
APART = 0.34
# VK's error codes. Any other one is permanent as well.
RETRIED = (1, 6, 9, 10, 29)
A_PERSON = (14, 17)


class Vk:
    """The parser of walls; `source.address` is an owner's id (negative for a community), a domain, or a page's URL."""

    def __init__(self, web: Web, store: Store, token: str, url: str = URL) -> None:
        self._web, self._store, self._token = web, store, token
        self._url = f"{url.rstrip('/')}/method/wall.get"

    def __call__(self, task: TaskMessage) -> Mapping[str, Any]:
        """The statistics of a task."""
        check_type(task)
        if (finished := self._store.finished(task)) is not None:
            return finished
        known = self._store.state(task)
        latest = Latest(known.get("seen", []), known.get("since", 0.0)) if task.task_type == LATEST else None
        posts, pages = self._posts(task, latest)
        if latest is None:
            return self._store.keep(task, map(_item, posts.values()), known, pages=pages)
        new = [_item(post) for key, post in posts.items() if latest.is_new(key, _at(post))]
        since = known.get("since") or min((_at(post) for post in posts.values() if not _pinned(post)), default=0.0)
        known = {"seen": seen(posts, latest.seen), "since": since}
        return self._store.keep(task, new, known, pages=pages)

    def _posts(self, task: TaskMessage, latest: Latest | None) -> tuple[dict[str, dict[str, Any]], int]:
        """The posts by key, as far as they are wanted, and the number of pages."""
        most = setting(task, "most_items", MOST_ITEMS)
        posts: dict[str, dict[str, Any]] = {}
        pages = offset = 0
        while True:
            if pages:
                self._web.pause(task, APART)
            found = self._page(task, offset)
            pages, offset = pages + 1, offset + PAGE
            page = {_key(post): post for post in inner(found, "items", default=[]) if inner(post, "id", default=0)}
            posts |= {key: post for key, post in page.items() if key not in posts}
            # The pinned post comes first, however old it is: it says nothing about those behind it.
            plain = [(key, _at(post)) for key, post in page.items() if not _pinned(post)]
            ended = not page or offset >= inner(found, "count", default=0) or len(posts) >= most
            if ended or (latest and latest.is_last_page(plain)):
                return dict(list(posts.items())[:most]), pages

    def _page(self, task: TaskMessage, offset: int) -> dict[str, Any]:
        form = {
            "access_token": self._token,
            "v": VERSION,
            **_owner(task.source.address),
            "offset": str(offset),
            "count": str(PAGE),
        }
        return self._web.retried(task, lambda: _response(self._web.call(task, "POST", self._url, data=form)))


def _owner(address: str) -> dict[str, str]:
    name = re.sub(r"^(https?://)?(www\.|m\.)?vk\.(com|ru)/", "", address.strip()).strip("/")
    if match := re.fullmatch(r"(club|public|event)([0-9]+)", name):
        return {"owner_id": f"-{match[2]}"}
    if match := re.fullmatch(r"(?:id|wall)?(-?[0-9]+)", name):
        return {"owner_id": match[1]}
    if not re.fullmatch(r"[A-Za-z0-9_.]{1,100}", name):
        raise PermanentError(
            f"address `{one_line(address)}` names no wall; allowed is an owner's id, a domain, or a URL"
        )
    return {"domain": name}


def _response(answer: Answer) -> dict[str, Any]:
    found = object_of(answer)
    if "error" not in found:
        response = found.get("response")
        if not isinstance(response, dict):
            raise TransientError(f"VK answered {answer.status} without a response")
        return response
    code = inner(found, "error", "error_code", default=0)
    sentence = f"VK says error {code}: {one_line(inner(found, 'error', 'error_msg', default=''))}"
    if code in RETRIED:
        raise TransientError(sentence)
    if code in A_PERSON:
        raise PermanentError(f"{sentence}; a person has to sign in to VK with the account of the token")
    raise PermanentError(sentence)


def _key(post: Mapping[str, Any]) -> str:
    return f"{inner(post, 'owner_id', default=0)}_{inner(post, 'id', default=0)}"


def _at(post: Mapping[str, Any]) -> float:
    return float(inner(post, "date", default=0))


def _pinned(post: Mapping[str, Any]) -> bool:
    return bool(post.get("is_pinned"))


def _item(post: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": _key(post),
        "link": f"https://vk.com/wall{_key(post)}",
        "published": inner(post, "date", default=0),
        "text": inner(post, "text", default=""),
        "pinned": _pinned(post),
        "attachments": [inner(each, "type", default="") for each in inner(post, "attachments", default=[])],
        **{name: inner(post, name, "count", default=0) for name in ("likes", "reposts", "comments", "views")},
    }
