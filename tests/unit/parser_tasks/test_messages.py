"""The messages of tasks and statuses: what is read is what was written, and garbage is a sentence."""

import json
import string
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from include.common.errors import BadInputError
from include.parser_tasks import tables
from include.parser_tasks.messages import (
    DEEPEST,
    REASON_LENGTH,
    WORKER_LENGTH,
    TaskMessage,
    TaskSource,
    read_status,
    read_task,
    status_key,
    task_key,
    write_status,
    write_task,
)
from include.parser_tasks.models import REPORTED, Report, Status

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
FORMATS = FormatChecker(formats=[])
ID = UUID("0199f2b8-5a5e-7c3a-9d0e-1f2a3b4c5d6e")
TASK = {
    "version": 1,
    "task_id": str(ID),
    "group_id": 12,
    "attempt": 1,
    "parser": "rss",
    "task_type": "latest",
    "priority": 0,
    "source": {"id": 1, "name": "News", "address": "https://example.com/feed", "settings": {"pages": 2}},
    "created_at": "2026-11-26T19:50:00.123456Z",
    "deadline_at": "2026-11-26T19:55:00.000000Z",
}
STATUS = {
    "version": 1,
    "task_id": str(ID),
    "attempt": 1,
    "status": "done",
    "at": "2026-11-26T19:50:00.123456Z",
    "worker": "host:7",
    "statistics": {"items": 3},
}


@FORMATS.checks("date-time", raises=ValueError)
def is_a_time(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


def schema(name: str) -> Draft202012Validator:
    found = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found, format_checker=FORMATS)


TASK_SCHEMA, STATUS_SCHEMA = schema("parser-task"), schema("task-status")

TEXTS = st.text(st.characters(), max_size=30)  # NUL and lone surrogates among them
FILLED = st.text(st.characters(), min_size=1, max_size=30)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
TIMES = st.floats(min_value=0, max_value=2**32).map(lambda seconds: round(seconds, 3))
REPORTS = st.builds(
    Report,
    task_id=st.uuids(),
    attempt=st.integers(1, 2**31 - 1),
    status=st.sampled_from(REPORTED),
    at=TIMES,
    worker=st.text(st.characters(), max_size=300),
    error=TEXTS,
    reason=TEXTS,
    statistics=OBJECTS,
)
TASKS = st.builds(
    TaskMessage,
    task_id=st.uuids(),
    group_id=st.integers(1, 2**63 - 1),
    attempt=st.integers(1, 2**31 - 1),
    parser=FILLED,
    task_type=FILLED,
    priority=st.integers(-100, 100),
    source=st.builds(TaskSource, id=st.integers(1, 2**63 - 1), name=TEXTS, address=FILLED, settings=OBJECTS),
    created_at=TIMES,
    deadline_at=TIMES,
)
# What may stand where a right value should; JSON's own letters and digits, so that some are nearly right.
ODD = (
    VALUES
    | st.sampled_from([1, 1.0, 0, -1, 2**31, 2**31 - 1, 2**63, 10**30, True, "", "1", "done", "queued", "DONE"])
    | st.sampled_from(["2026-02-30T00:00:00Z", "2026-11-26 19:50:00Z", "2026-11-26T19:50:00+03:00", "19:50"])
    | st.sampled_from([f"{{{ID}}}", ID.hex, str(ID).upper(), "x" * 3000])
    | st.text(string.hexdigits + "-:TZ.+", max_size=40)
)


def storable(value: Any) -> bool:
    """Whether Postgres takes it as JSON or text."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, dict):
        return all(storable(key) and storable(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(storable(inner) for inner in value)
    return value == value and value not in (float("inf"), float("-inf"))


@given(REPORTS)
def test_a_written_status_agrees_with_its_schema_and_is_read_as_it_was_kept(report: Report) -> None:
    value = write_status(report)
    STATUS_SCHEMA.validate(json.loads(value))
    found = read_status(value)
    assert (found.task_id, found.attempt, found.status) == (report.task_id, report.attempt, report.status)
    assert found.at == pytest.approx(report.at, abs=1e-6)
    assert all(storable(text) for text in (found.worker, found.error, found.reason, found.statistics))
    assert len(found.worker) <= WORKER_LENGTH
    assert write_status(found) == value


@given(TASKS)
def test_a_written_task_agrees_with_its_schema_and_is_read_as_it_was(task: TaskMessage) -> None:
    value = write_task(task)
    TASK_SCHEMA.validate(json.loads(value))
    found = read_task(value)
    assert (found.task_id, found.source.id, found.priority) == (task.task_id, task.source.id, task.priority)
    assert found.deadline_at == pytest.approx(task.deadline_at, abs=1e-6)
    assert storable(found.source.settings)
    assert write_task(found) == value


def agree(read: Any, validator: Draft202012Validator, message: object) -> None:
    value = json.dumps(message).encode()
    try:
        read(value)
    except BadInputError:
        try:
            readable = orjson.loads(value)
        except ValueError:
            return  # no JSON of RFC 8259: NaN, a lone surrogate
        assert not validator.is_valid(readable)
    else:
        assert validator.is_valid(json.loads(value))


@given(st.sampled_from([*STATUS, "error", "reason"]), ODD)
def test_a_status_with_an_odd_field_is_read_where_the_schema_allows_it(name: str, odd: Any) -> None:
    agree(read_status, STATUS_SCHEMA, {**STATUS, name: odd})


@given(st.sampled_from([*TASK, *(f"source.{name}" for name in TASK["source"])]), ODD)
def test_a_task_with_an_odd_field_is_read_where_the_schema_allows_it(name: str, odd: Any) -> None:
    outer, _, inner = name.partition(".")
    value = {**TASK["source"], inner: odd} if inner else odd
    agree(read_task, TASK_SCHEMA, {**TASK, outer: value})


@pytest.mark.parametrize("name", ["version", "task_id", "attempt", "status", "at"])
def test_a_status_without_a_field_says_which(name: str) -> None:
    with pytest.raises(BadInputError, match=f"{name} is missing"):
        read_status(json.dumps({**STATUS, name: None}).encode())
    with pytest.raises(BadInputError, match=f"{name} is missing"):
        read_status(json.dumps({key: value for key, value in STATUS.items() if key != name}).encode())


@given(st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_a_sentence_and_no_other_error(value: bytes) -> None:
    for read in (read_status, read_task):
        with pytest.raises(BadInputError):
            read(value)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "a status is expected as JSON"),
        (b"", "a status is expected as JSON"),
        (b"[]", "a status is expected as a JSON object, and this is a list"),
        (b"[" * 100_000, "a status is expected as JSON"),
        (b'{"version": NaN}', "a status is expected as JSON"),
        (b'{"version": 2}', "version is `2`; allowed is 1"),
        (b'\xff{"version": 1}', "a status is expected as JSON"),
        (json.dumps({**STATUS, "status": "created"}).encode(), "status is `created`; allowed is one of in_progress"),
        (json.dumps({**STATUS, "attempt": 0}).encode(), "attempt is `0`; allowed is a whole number from 1 to"),
        (json.dumps({**STATUS, "attempt": 10**400}).encode(), "a status is expected as JSON"),
        (json.dumps({**STATUS, "task_id": "7"}).encode(), "task_id is `7`; allowed is a UUID"),
        (json.dumps({**STATUS, "at": 5}).encode(), "at is `5`; allowed is a time as"),
        (json.dumps({**STATUS, "worker": []}).encode(), "worker is a list; allowed is a text"),
        (json.dumps({**STATUS, "statistics": 3}).encode(), "statistics is `3`; allowed is an object"),
    ],
)
def test_what_is_no_status_says_why(value: bytes | None, sentence: str) -> None:
    with pytest.raises(BadInputError) as raised:
        read_status(value)
    assert str(raised.value).startswith(sentence)


def test_long_texts_are_cut_and_what_postgres_refuses_is_replaced() -> None:
    long = {**STATUS, "worker": "w" * 300, "error": "e\0" * 5000, "reason": "r" * 50, "statistics": {"a\0": ["\0", 1]}}
    found = read_status(json.dumps(long).encode())
    assert (len(found.worker), len(found.error), len(found.reason)) == (200, 2000, 40)
    assert storable(found.error)
    assert found.statistics == {"a�": ["�", 1]}


def test_deep_statistics_are_cut() -> None:
    deep: Any = 1
    for _ in range(DEEPEST + 5):
        deep = [deep]
    found = read_status(json.dumps({**STATUS, "statistics": {"deep": deep}}).encode())
    assert json.dumps(found.statistics).count("[") == DEEPEST
    assert "…" in json.dumps(found.statistics, ensure_ascii=False)


def test_statistics_of_any_kind_can_be_written() -> None:
    odd = {"path": Path("/a"), "nan": float("nan"), "big": 10**30, 7: (1, 2)}
    found = read_status(write_status(Report(ID, 1, Status.DONE, 0.0, statistics=odd)))
    assert found.statistics == {"path": "/a", "nan": None, "big": str(10**30), "7": [1, 2]}


def test_what_is_kept_fits_the_tables() -> None:
    assert WORKER_LENGTH <= tables.NAME_LENGTH
    assert REASON_LENGTH <= tables.REASON_LENGTH


def test_the_keys_keep_a_source_s_tasks_and_a_task_s_statuses_in_order() -> None:
    assert task_key(read_task(json.dumps(TASK).encode())) == b"1"
    assert status_key(read_status(json.dumps(STATUS).encode())) == str(ID).encode()
