"""What the answers of VK and YouTube have in common: JSON, and lists whose newest items come first, or nearly so."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from include.common.errors import TransientError
from include.common.http.redaction import redacted
from include.common.text import one_line
from include.parser_tasks.parsers.web import Answer


def object_of(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer; raises `TransientError` where it is none."""
    try:
        found = orjson.loads(answer.body)
    except ValueError as error:
        raise TransientError(_no_object(answer)) from error
    if not isinstance(found, dict):
        raise TransientError(_no_object(answer))
    return found


def _no_object(answer: Answer) -> str:
    body = one_line(answer.body[:200].decode("utf-8", "replace"), 100)
    return f"`{redacted(answer.url)}` answered {answer.status} and no JSON object: `{body}`"


def inner(found: Any, *names: str, default: Any) -> Any:
    """What stands at a path of names; `default` where there is nothing of its kind."""
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, type(default)) else default


@dataclass
class Latest:
    """Which items of a list are new since the last time.

    `seen` are the keys of then; an item from before `since`, the time of the oldest of the first page that was ever
    read, is none that a person waits for. The first time, only one page is read.
    """

    seen: list[str] = field(default_factory=list)
    since: float = 0.0

    def __post_init__(self) -> None:
        self._old = frozenset(self.seen)

    def is_new(self, key: str, at: float) -> bool:
        """Whether an item is to be given."""
        return key not in self._old and at >= self.since

    def is_last_page(self, items: Iterable[tuple[str, float]]) -> bool:
        """Whether what follows a page is known: one of its items is, or there was no last time."""
        return not self._old or any(not self.is_new(key, at) for key, at in items)
