"""What tasks the address of a page asks for, and the pages of a list that has no numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query

from include.common.errors import BadInputError, quoted
from include.common.text import shown
from include.parser_tasks.models import OPEN, Status
from include.parser_tasks.paging import Asked, Page, cursor
from include.parser_tasks.queries import TaskFilter
from include.web.listing import ROWS, Choice

# The largest id that a database holds.
Id = Annotated[int, Query(ge=1, le=2**63 - 1)]
Text = Annotated[str, Query(max_length=200)]
Cursor = Annotated[str, Query(max_length=2000)]

OPEN_ONES = "open"
STATUSES = Choice(
    "status",
    "Status",
    {"": "Any", OPEN_ONES: "Open", **{status: status.replace("_", " ").capitalize() for status in Status}},
)
LATE = Choice("late", "Late", {"": "Late or not", "true": "Only late"})
# Those of the errors: what was cancelled there was late.
PROBLEMS = Choice("status", "Status", {"": "Failed or late", Status.FAILED: "Failed", Status.CANCELLED: "Late"})


@dataclass(frozen=True)
class TaskQuery:
    """The parameters of an address; `errors` are those of the tasks that failed or were cancelled at their deadline."""

    source: Text = ""
    parser: Text = ""
    task_type: Text = ""
    status: Text = ""
    late: Annotated[str, Query(pattern="^(true)?$")] = ""
    since: Text = ""
    until: Text = ""
    group_id: Id | None = None
    errors: bool = False

    def only_errors(self) -> "TaskQuery":
        """The same of errors."""
        return replace(self, errors=True)

    def texts(self) -> dict[str, str]:
        """As they stand in the address."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value).lower() if value is True else str(value or "") for name, value in values.items()}

    @property
    def is_filtered(self) -> bool:
        """Whether anything is left out."""
        return any(self.texts().values())

    @property
    def is_narrowed(self) -> bool:
        """Whether a person has left anything out of the list."""
        return any(replace(self, errors=False).texts().values())

    @property
    def address(self) -> str:
        """The query of the address."""
        return _address(self.texts())

    def wanted(self) -> TaskFilter:
        """As the tasks are asked for; raises `BadInputError` for what there is not."""
        return TaskFilter(
            statuses=_statuses(self.status),
            parser=self.parser,
            task_type=self.task_type,
            source_text=self.source.strip(),
            group_id=self.group_id,
            late=bool(self.late),
            problems=self.errors,
            created_from=_time("since", self.since),
            created_to=_time("until", self.until),
        )


@dataclass(frozen=True)
class Paging:
    """The queries of this page and of those beside it, None where there is none."""

    here: str
    newer: str | None
    older: str | None
    sentence: str


def turned(
    read: Callable[[Asked], Page[Any]], sort: str, query: Mapping[str, str], after: str, before: str, what: str
) -> tuple[Sequence[Any], Paging]:
    """The rows behind the cursor `after`, or those ahead of the cursor `before`, in the order `sort`."""
    back = sort.removeprefix("-") if sort.startswith("-") else f"-{sort}"
    column = sort.removeprefix("-")
    found = read(Asked(ROWS, before, back)) if before else read(Asked(ROWS, after, sort))
    rows = found.rows[::-1] if before else found.rows
    newer = older = None
    if rows and (found.after if before else after):
        newer = _address(query, before=cursor(back, getattr(rows[0], column), rows[0].id))
    elif not rows and (after or before):
        newer = _address(query)
    if rows and (before or found.after):
        older = _address(query, after=cursor(sort, getattr(rows[-1], column), rows[-1].id))
    many = f"more than {found.total:,}" if found.is_more else f"{found.total:,}"
    sentence = f"{len(rows):,} of {many} {what}" if rows else f"No {what}"
    return rows, Paging(_address(query, after=after, before=before), newer, older, sentence)


def _address(query: Mapping[str, str], **more: str) -> str:
    given = {name: value for name, value in {**query, **more}.items() if value}
    return "?" + urlencode(given) if given else ""


def _statuses(text: str) -> frozenset[Status]:
    if text == OPEN_ONES:
        return frozenset(OPEN)
    if text not in ("", *Status):
        raise BadInputError(f"status is `{shown(text)}`; allowed are {quoted((OPEN_ONES, *Status))}")
    return frozenset({Status(text)} if text else ())


def _time(where: str, text: str) -> float | None:
    """Seconds since the epoch of `2026-11-26T13:05`, which is in UTC where it names no zone."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise BadInputError(f"{where} is `{shown(text)}`; allowed is a time such as 2026-11-26T13:05 (UTC)") from error
