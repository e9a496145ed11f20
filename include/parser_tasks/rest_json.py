"""What the JSON API of the parser tasks is given and gives. Times are RFC 3339, null where they have not come."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from include.parser_tasks.catalog import ScheduleGiven, SourceGiven, TaskTypeGiven
from include.parser_tasks.models import ALLOWED, OPEN, Action, Cause, Reason, Refusal, Status
from include.parser_tasks.paging import MOST_ROWS, Asked, Page
from include.parser_tasks.queries import MOST_IDS, GroupFilter, ScheduleFilter, SourceFilter, TaskFilter
from include.parser_tasks.service import Bulk, Dictionary, Made
from include.parser_tasks.views import (
    EventRow,
    GroupRow,
    LastTask,
    ScheduleRow,
    SourceRow,
    TaskRow,
    TaskTypeRow,
    TaskView,
)

Item = TypeVar("Item")
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
# Postgres keeps no NUL.
Line = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
MOST_SCHEDULES = 100


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class Given(BaseModel):
    """What is sent; a name that nobody knows is refused, for it may be a mistake in writing."""

    model_config = ConfigDict(extra="forbid")


class Listed(Given):
    """Which page of a list: `after` is what the page before said, `sort` a field, with `-` for descending."""

    page_size: Annotated[int, Field(ge=1, le=MOST_ROWS)] | None = None
    after: Line = ""
    sort: Line = ""

    def asked(self, page_size: int) -> Asked:
        """The page, of `page_size` rows where it does not say how many."""
        return Asked(self.page_size or min(page_size, MOST_ROWS), self.after, self.sort)


class TasksOf(Given):
    """Which tasks; what is left out is any.

    `late`: past the deadline and open, or cancelled for that; `problems`: failed, or cancelled for that; `source`
    stands in the name or the address of the source, or in the name that a deleted one had.
    """

    status: Annotated[list[Status], Field(max_length=len(Status))] = []
    parser: Line = ""
    task_type: Line = ""
    source_id: Id | None = None
    source: Line = ""
    group_id: Id | None = None
    worker: Line = ""
    late: bool = False
    problems: bool = False
    has_error: bool | None = None
    created_from: AwareDatetime | None = None
    created_to: AwareDatetime | None = None

    def wanted(self) -> TaskFilter:
        """The filter."""
        return TaskFilter(
            statuses=frozenset(self.status),
            parser=self.parser,
            task_type=self.task_type,
            source_id=self.source_id,
            source_text=self.source,
            problems=self.problems,
            group_id=self.group_id,
            worker=self.worker,
            late=self.late,
            has_error=self.has_error,
            created_from=self.created_from.timestamp() if self.created_from else None,
            created_to=self.created_to.timestamp() if self.created_to else None,
        )


class TasksListed(Listed, TasksOf):
    """A page of tasks; sorted by `id`, the order of creation."""


class RefusedListed(Listed):
    """A page of refused messages; `refused` may be given several times, and is any where it is not."""

    refused: Annotated[list[Refusal], Field(max_length=len(Refusal))] = []


class GroupsListed(Listed):
    """A page of groups; `status` is `open`, `done` or `problems`."""

    parser: Line = ""
    task_type: Line = ""
    cause: Cause | None = None
    status: Annotated[str, Field(pattern="^(open|done|problems|)$")] = ""

    def wanted(self) -> GroupFilter:
        """The filter."""
        return GroupFilter(self.parser, self.task_type, self.cause or "", self.status)


class SourcesListed(Listed):
    """A page of sources; `text` stands in the name or the address."""

    text: Line = ""
    parser: Line = ""
    task_type: Line = ""
    active: bool | None = None
    failing: bool = False

    def wanted(self) -> SourceFilter:
        """The filter."""
        return SourceFilter(self.text, self.parser, self.task_type, self.active, self.failing)


class SchedulesListed(Listed):
    """A page of schedules."""

    source_id: Id | None = None
    parser: Line = ""
    task_type: Line = ""
    active: bool | None = None

    def wanted(self) -> ScheduleFilter:
        """The filter."""
        return ScheduleFilter(self.source_id, self.parser, self.task_type, self.active)


class ScheduleChange(Given):
    """What changes of a schedule: an interval as `15 minutes`, or a cron expression (UTC)."""

    schedule: str | None = None
    priority: int | None = None
    deadline_seconds: float | None = None
    active: bool | None = None

    def given(self, task_type: str = "") -> ScheduleGiven:
        """It, for a type of tasks."""
        return ScheduleGiven(task_type, self.schedule, self.priority, self.deadline_seconds, self.active)


class ScheduleOfSource(ScheduleChange):
    """The schedule of a source for a type of tasks, by the type's name."""

    task_type: Line


class ScheduleNew(ScheduleOfSource):
    """A schedule; its priority is 0, its deadline 600 seconds, and it is active, where nothing else is said."""

    model_config = _example(source_id=1, task_type="all", schedule="0 3 * * *", priority=5, deadline_seconds=3600)

    source_id: Id
    schedule: str


class ScheduleWhole(ScheduleChange):
    """All of a schedule."""

    model_config = _example(schedule="2 hours", priority=0, deadline_seconds=600, active=True)

    schedule: str
    priority: int = 0
    deadline_seconds: float = 600.0
    active: bool = True


class SourceChange(Given):
    """What changes of a source; `task_types` sets its schedules of these types, and leaves others."""

    name: str | None = None
    parser: str | None = None
    address: str | None = None
    settings: dict[str, Any] | None = None
    active: bool | None = None
    task_types: Annotated[list[ScheduleOfSource], Field(max_length=MOST_SCHEDULES)] = []

    def given(self) -> SourceGiven:
        """The source's own values."""
        return SourceGiven(self.name, self.parser, self.address, self.settings, self.active)

    def schedules(self) -> list[ScheduleGiven]:
        """Those of its schedules."""
        return [each.given(each.task_type) for each in self.task_types]


class SourceNew(SourceChange):
    """All of a source."""

    model_config = _example(
        name="Example news",
        parser="rss",
        address="https://example.com/feed.xml",
        task_types=[{"task_type": "latest", "schedule": "15 minutes", "deadline_seconds": 600}],
    )

    name: str
    parser: str
    address: str
    settings: dict[str, Any] = {}
    active: bool = True


class TaskTypeChange(Given):
    """What changes of a type of tasks."""

    name: str | None = None
    title: str | None = None

    def given(self) -> TaskTypeGiven:
        """It."""
        return TaskTypeGiven(self.name, self.title)


class TaskTypeNew(TaskTypeChange):
    """All of a type of tasks."""

    model_config = _example(name="comments", title="Comments of the last week")

    name: str
    title: str = ""


class GroupNew(Given):
    """Of what tasks are created: of everything that is due, or of these sources or this type only.

    `only_due` false creates them although they are not due; a source whose last task is open is passed over always.
    """

    model_config = _example(parser="rss", task_type="latest", only_due=False)

    parser: Line = ""
    task_type: Line = ""
    source_ids: Annotated[list[Id], Field(max_length=MOST_IDS)] = []
    only_due: bool = True


class BulkOf(Given):
    """Some tasks: these ids, or those of a filter whose status allows what is to be done, the newest first.

    `after` is what the answer before said: the rest of the filter, which is older.
    """

    model_config = _example(filter={"status": ["failed"], "parser": "rss"})

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_IDS)] | None = None
    filter: TasksOf | None = None
    after: UUID | None = None


class ErrorJson(BaseModel):
    """What was refused: the value, and what is allowed."""

    model_config = _example(detail="parser is `fax`; registered are `rss`, `vk`, `youtube`")

    detail: str


class Listing(BaseModel, Generic[Item]):
    """A page. `after` is for the next one, null on the last; `total` stops at 10,000, `is_more` says there are more."""

    items: list[Item]
    after: str | None
    total: int
    is_more: bool


class TaskTypeJson(BaseModel):
    """A kind of work."""

    id: int
    name: str
    title: str


class TaskJson(BaseModel):
    """A task; `actions` is what its status allows."""

    id: UUID
    group_id: int
    source_id: int | None
    source_name: str
    parser: str
    task_type: str
    status: Status
    attempt: int
    priority: int
    retry_of: UUID | None
    created_at: datetime | None
    deadline_at: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    topic: str
    partition: int | None
    offset: int | None
    worker: str
    error: str
    reason: str
    statistics: dict[str, Any]
    late: bool
    actions: list[Action]


class EventJson(BaseModel):
    """What happened to a task; `refused` says why a message changed nothing."""

    at: datetime | None
    status: str
    attempt: int | None
    refused: str
    actor: str
    detail: str
    partition: int | None
    offset: int | None


class RefusedJson(EventJson):
    """A status message that changed nothing; `task_id` is null where it could not be read."""

    id: int
    task_id: UUID | None


class TaskWhole(TaskJson):
    """A task with what happened to it, and all tries of the same."""

    events: list[EventJson]
    tries: list[UUID]


class GroupJson(BaseModel):
    """Tasks that were created together; `late` are those of `cancelled` that expired."""

    id: int
    parser: str
    task_type: str
    cause: str
    status: str
    total: int
    open: int
    done: int
    failed: int
    cancelled: int
    late: int
    created_at: datetime | None
    deadline_at: datetime | None
    ended_at: datetime | None


class LastTaskJson(BaseModel):
    """How the newest task of a schedule is."""

    id: UUID
    status: Status
    reason: str
    error: str
    created_at: datetime | None
    ended_at: datetime | None


class ScheduleJson(BaseModel):
    """That a source has tasks of a type; `due_at` is when the next one is created."""

    id: int
    source_id: int
    source_name: str
    parser: str
    task_type: str
    schedule: str
    priority: int
    deadline_seconds: float
    active: bool
    due_at: datetime | None
    last: LastTaskJson | None


class SourceJson(BaseModel):
    """What is parsed; `failures` in a row since the last task that was done."""

    id: int
    name: str
    parser: str
    address: str
    settings: dict[str, Any]
    active: bool
    failures: int
    created_at: datetime | None
    task_types: list[ScheduleJson]


class DeletedJson(BaseModel):
    """How many open tasks of a deleted source were cancelled."""

    cancelled_tasks: int


class SkippedJson(BaseModel):
    """How many sources got no task, and why. They stay due."""

    count: int
    reason: str


class ParserCreated(BaseModel):
    """What was created of a parser: the groups, and how many tasks."""

    parser: str
    groups: list[int]
    tasks: int
    skipped: list[SkippedJson]


class CreatedJson(BaseModel):
    """What was created, and whether it was sent: `waiting` says why tasks stay `created`, "" where none does.

    `sent` counts every task that was sent now, those that had waited too.
    """

    tasks: int
    created: list[ParserCreated]
    skipped: list[SkippedJson]
    sent: int
    waiting: str


class ExpiredJson(BaseModel):
    """How many tasks were cancelled as expired; `held_back` says why some may be left."""

    cancelled: int
    held_back: str


class ResultJson(BaseModel):
    """What came of one task: `refused` says why nothing did, `new_id` is the task that a retry made."""

    id: UUID
    refused: str
    new_id: UUID | None


class BulkJson(BaseModel):
    """What came of each task; `after` is for the rest of the filter, null where there is none."""

    done: int
    refused: int
    after: UUID | None
    results: list[ResultJson]
    sent: int
    waiting: str


class RetriedJson(BaseModel):
    """The new task, and whether it was sent."""

    task: TaskJson
    sent: int
    waiting: str


class TimesJson(BaseModel):
    """The next times of a schedule that is set now."""

    schedule: str
    times: list[datetime]


class ParserJson(BaseModel):
    """A parser that is registered, and its topic."""

    name: str
    topic: str


class StatusJson(BaseModel):
    """A status, whether a task in it is open, and what may be done with one."""

    name: Status
    open: bool
    actions: list[Action]


class DictionaryJson(BaseModel):
    """What there is to choose from."""

    parsers: list[ParserJson]
    task_types: list[TaskTypeJson]
    statuses: list[StatusJson]
    reasons: list[Reason]
    causes: list[Cause]
    refusals: list[Refusal]
    actions: list[Action]


def moment(seconds: float) -> datetime | None:
    """A time, None where it has not come."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def listing(page: Page[Any], items: Iterable[Item]) -> Listing[Item]:
    """A page with its rows as JSON."""
    return Listing(items=list(items), after=page.after or None, total=page.total, is_more=page.is_more)


def _timed(row: Any, *times: str) -> dict[str, Any]:
    return {**vars(row), **{name: moment(getattr(row, name)) for name in times}}


_TASK_TIMES = ("created_at", "deadline_at", "queued_at", "started_at", "ended_at")


def _task(row: TaskRow, now: float) -> dict[str, Any]:
    return {**_timed(row, *_TASK_TIMES), "late": row.is_late(now), "actions": list(row.actions)}


def task_json(row: TaskRow, now: float) -> TaskJson:
    """A task."""
    return TaskJson(**_task(row, now))


def task_whole(view: TaskView, now: float) -> TaskWhole:
    """A task with its history."""
    events = [EventJson(**_timed(each, "at")) for each in view.events]
    return TaskWhole(**_task(view.task, now), events=events, tries=[each.id for each in view.tries])


def refused_json(row: EventRow) -> RefusedJson:
    """A status message that changed nothing."""
    return RefusedJson(**_timed(row, "at"))


def group_json(row: GroupRow) -> GroupJson:
    """A group."""
    return GroupJson(**_timed(row, "created_at", "deadline_at", "ended_at"), status=row.status, open=row.open)


def schedule_json(row: ScheduleRow) -> ScheduleJson:
    """A schedule."""
    return ScheduleJson(**{**_timed(row, "due_at"), "last": _last(row.last)})


def _last(row: LastTask | None) -> LastTaskJson | None:
    return LastTaskJson(**_timed(row, "created_at", "ended_at")) if row else None


def source_json(row: SourceRow) -> SourceJson:
    """A source with its schedules."""
    return SourceJson(**_timed(row, "created_at"), task_types=[schedule_json(each) for each in row.schedules])


def task_type_json(row: TaskTypeRow) -> TaskTypeJson:
    """A type of tasks."""
    return TaskTypeJson(**asdict(row))


def created_json(made: Made) -> CreatedJson:
    """What a request created."""
    created = [
        ParserCreated(
            parser=each.parser,
            groups=each.groups,
            tasks=each.tasks,
            skipped=_skipped(
                (each.still_open, "their last task of the type is still open"),
                (each.over_backlog, f"{each.backlog:,} tasks of the parser wait for a worker, which is the limit"),
            ),
        )
        for each in made.created
    ]
    return CreatedJson(
        tasks=sum(each.tasks for each in made.created),
        created=created,
        skipped=_skipped((len(made.switched_off), "they are switched off")),
        sent=made.dispatched.sent,
        waiting=made.dispatched.waiting,
    )


def _skipped(*why: tuple[int, str]) -> list[SkippedJson]:
    return [SkippedJson(count=count, reason=reason) for count, reason in why if count]


def bulk_json(bulk: Bulk) -> BulkJson:
    """What came of many tasks."""
    results = [
        ResultJson(id=each, refused=result.refused, new_id=result.task_id) for each, result in bulk.results.items()
    ]
    sent = bulk.dispatched
    return BulkJson(
        done=bulk.done,
        refused=len(results) - bulk.done,
        after=bulk.after,
        results=results,
        sent=sent.sent if sent else 0,
        waiting=sent.waiting if sent else "",
    )


def dictionary_json(found: Dictionary) -> DictionaryJson:
    """What there is to choose from."""
    return DictionaryJson(
        parsers=[ParserJson(name=name, topic=topic) for name, topic in sorted(found.parsers.items())],
        task_types=[task_type_json(each) for each in found.task_types],
        statuses=[
            StatusJson(name=each, open=each in OPEN, actions=[action for action in Action if action in ALLOWED[each]])
            for each in Status
        ],
        reasons=list(Reason),
        causes=list(Cause),
        refusals=list(Refusal),
        actions=list(Action),
    )
