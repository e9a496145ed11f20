"""The messages between Headrace and the parsers, version 1: `docs/schemas/` says the same for other languages.

A reader raises `BadInputError` for what is no such message, and nothing else. A text in it comes out as a database
takes it: cut to what is kept, without NUL and halves of surrogate pairs.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import orjson

from include.common.errors import BadInputError
from include.common.text import shown
from include.parser_tasks.models import REPORTED, Report, Status

VERSION = 1
# Characters of a status message's texts that are kept.
WORKER_LENGTH = 200
ERROR_LENGTH = 2000
REASON_LENGTH = 40
# Levels of settings and statistics that are kept; no service's settings have as many.
DEEPEST = 50
_INTEGER = 2**31 - 1
_BIG = 2**63 - 1
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME = re.compile(
    r"(19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
T = TypeVar("T")
_UNKEPT = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class TaskSource:
    """What is to be parsed: `address` is a URL or the id that the service has for it."""

    id: int
    name: str
    address: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskMessage:
    """A task as a parser gets it. Times are seconds since the epoch."""

    task_id: UUID
    group_id: int
    attempt: int
    parser: str
    task_type: str
    priority: int
    source: TaskSource
    created_at: float
    deadline_at: float


def task_key(message: TaskMessage) -> bytes:
    """Kafka's key of a task: the tasks of a source stay in order."""
    return str(message.source.id).encode()


def status_key(report: Report) -> bytes:
    """Kafka's key of a status: the statuses of a task stay in order."""
    return str(report.task_id).encode()


def write_task(message: TaskMessage) -> bytes:
    """The message that `read_task` reads."""
    source = message.source
    return orjson.dumps(
        {
            "version": VERSION,
            "task_id": str(message.task_id),
            "group_id": message.group_id,
            "attempt": message.attempt,
            "parser": clean(message.parser),
            "task_type": clean(message.task_type),
            "priority": message.priority,
            "source": {
                "id": source.id,
                "name": clean(source.name),
                "address": clean(source.address),
                "settings": _kept(source.settings),
            },
            "created_at": say_time(message.created_at),
            "deadline_at": say_time(message.deadline_at),
        }
    )


def read_task(value: bytes | None) -> TaskMessage:
    """The task that a message of a parser's topic gives."""
    found = _object(value, "a task")
    source = _typed(found, "source", dict)
    return TaskMessage(
        task_id=_uuid(found, "task_id"),
        group_id=_whole(found, "group_id", 1, _BIG),
        attempt=_whole(found, "attempt", 1, _INTEGER),
        parser=_filled(found, "parser"),
        task_type=_filled(found, "task_type"),
        priority=_whole(found, "priority", -_INTEGER - 1, _INTEGER),
        source=TaskSource(
            id=_whole(source, "id", 1, _BIG),
            name=clean(_typed(source, "name", str)),
            address=_filled(source, "address"),
            settings=_kept(_typed(source, "settings", dict)),
        ),
        created_at=_time(found, "created_at"),
        deadline_at=_time(found, "deadline_at"),
    )


def write_status(report: Report) -> bytes:
    """The message that `read_status` reads; what would not be kept is left out already."""
    texts = {
        "worker": clean(report.worker, WORKER_LENGTH),
        "error": clean(report.error, ERROR_LENGTH),
        "reason": clean(report.reason, REASON_LENGTH),
    }
    message: dict[str, Any] = {
        "version": VERSION,
        "task_id": str(report.task_id),
        "attempt": report.attempt,
        "status": report.status.value,
        "at": say_time(report.at),
        **{name: text for name, text in texts.items() if text},
    }
    if report.statistics:
        message["statistics"] = _kept(report.statistics)
    return orjson.dumps(message)


def read_status(value: bytes | None) -> Report:
    """What a worker says by a message of the status topic."""
    found = _object(value, "a status")
    status = found.get("status")
    if not isinstance(status, str) or status not in REPORTED:
        raise BadInputError(f"status is {_said(status)}; allowed is one of {', '.join(REPORTED)}")
    return Report(
        task_id=_uuid(found, "task_id"),
        attempt=_whole(found, "attempt", 1, _INTEGER),
        status=Status(status),
        at=_time(found, "at"),
        worker=clean(_typed(found, "worker", str, ""), WORKER_LENGTH),
        error=clean(_typed(found, "error", str, ""), ERROR_LENGTH),
        reason=clean(_typed(found, "reason", str, ""), REASON_LENGTH),
        statistics=_kept(_typed(found, "statistics", dict, {})),
    )


def clean(text: str, length: int | None = None) -> str:
    """`text` in at most `length` characters, as Postgres takes it."""
    if length is not None and len(text) > length:
        text = text[: length - 1] + "…"
    return _UNKEPT.sub("�", text)


def say_time(seconds: float) -> str:
    """Seconds since the epoch as `2026-11-26T19:50:00.123456Z`."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _object(value: bytes | None, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(value or b"")
    except ValueError as error:
        # An error of JSON quotes nothing of the message.
        raise BadInputError(f"{what} is expected as JSON, and this is none: {shown(str(error), 200)}") from error
    if not isinstance(found, dict):
        raise BadInputError(f"{what} is expected as a JSON object, and this is {_said(found)}")
    if _integer(found.get("version")) != VERSION:
        raise BadInputError(f"version is {_said(found.get('version'))}; allowed is {VERSION}")
    return found


def _typed(found: dict[str, Any], name: str, kind: type[T], default: T | None = None) -> T:
    """A field; one with a default may be missing or null."""
    value = found.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, kind):
        raise BadInputError(f"{name} is {_said(value)}; allowed is {'a text' if kind is str else 'an object'}")
    return value


def _filled(found: dict[str, Any], name: str) -> str:
    if not (text := _typed(found, name, str)):
        raise BadInputError(f"{name} is empty")
    return clean(text)


def _whole(found: dict[str, Any], name: str, least: int, most: int) -> int:
    number = _integer(found.get(name))
    if number is None or not least <= number <= most:
        raise BadInputError(f"{name} is {_said(found.get(name))}; allowed is a whole number from {least} to {most}")
    return number


def _integer(value: object) -> int | None:
    """A whole number as JSON Schema has it: 1.0 is one, true is none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _uuid(found: dict[str, Any], name: str) -> UUID:
    text = found.get(name)
    if not isinstance(text, str) or not _UUID.fullmatch(text):
        raise BadInputError(f"{name} is {_said(text)}; allowed is a UUID")
    return UUID(text)


def _time(found: dict[str, Any], name: str) -> float:
    text = found.get(name)
    try:
        if isinstance(text, str) and _TIME.fullmatch(text):
            return datetime.fromisoformat(text).timestamp()
    except ValueError:  # the 30th of February
        pass
    raise BadInputError(f"{name} is {_said(text)}; allowed is a time as `2026-11-26T19:50:00.123456Z`")


def _kept(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object as JSON and as Postgres takes it."""
    return {clean(str(key)): _kept_value(inner, DEEPEST) for key, inner in value.items()}


def _kept_value(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_BIG <= value <= _BIG else clean(str(Decimal(value)), ERROR_LENGTH)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if levels and isinstance(value, Mapping):
        return {clean(str(key)): _kept_value(inner, levels - 1) for key, inner in value.items()}
    if levels and isinstance(value, list | tuple):
        return [_kept_value(inner, levels - 1) for inner in value]
    return "…" if isinstance(value, Mapping | list | tuple) else clean(str(value), ERROR_LENGTH)


def _said(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return f"`{shown(str(value))}`"
