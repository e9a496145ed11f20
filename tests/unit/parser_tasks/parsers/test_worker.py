"""The worker's kit, without a broker."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from include.common.errors import PermanentError, TransientError
from include.parser_tasks.messages import TaskMessage, read_status, write_task
from include.parser_tasks.models import Report, Status
from include.parser_tasks.worker import MOST_BYTES, LateError, SourceGoneError, Worker
from tests.unit.parser_tasks.parsers.conftest import START, Clock, task


class Message:
    def __init__(self, value: bytes | None) -> None:
        self._value = value

    def value(self) -> bytes | None:
        return self._value


class FakeLine:
    """Kafka as a list; `log` is what was done, in order. `away` is how many reports fail."""

    def __init__(self, *values: bytes | None) -> None:
        self.messages = [Message(value) for value in values]
        self.reports: list[Report] = []
        self.log: list[str] = []
        self.away = 0
        self.when_empty: Callable[[], Any] = lambda: None

    def take(self, seconds: float) -> Message | None:
        if not self.messages:
            self.when_empty()
            return None
        return self.messages.pop(0)

    def report(self, key: bytes, value: bytes) -> None:
        if self.away:
            self.away -= 1
            raise TransientError("no broker answered")
        report = read_status(value)
        assert key == str(report.task_id).encode()
        self.reports.append(report)
        self.log.append(report.status)

    def finish(self, taken: Message) -> None:
        self.log.append("committed")

    def close(self) -> None:
        self.log.append("closed")


class Pauses(threading.Event):
    """An event that is waited for in no time; `after` waits it is set."""

    def __init__(self, after: int | None = None) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._after = after

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        if len(self.waits) == self._after:
            self.set()
        return self.is_set()


def worked(line: FakeLine, parse: Any, clock: Clock | None = None, stopping: threading.Event | None = None) -> Worker:
    """A worker that has run until its line was empty."""
    clock = clock or Clock()
    worker = Worker("rss", parse, line, name="host:7", now=clock.now, stopping=stopping or Pauses())
    line.when_empty = worker.stop
    worker.run()
    return worker


def raising(error: BaseException) -> Callable[[TaskMessage], Any]:
    def parse(_: TaskMessage) -> Any:
        raise error

    return parse


def test_a_task_is_begun_done_and_only_then_committed() -> None:
    line = FakeLine(write_task(task(attempt=3)))
    worked(line, lambda _: {"items": 2})
    assert line.log == ["in_progress", "done", "committed", "closed"]
    done = line.reports[-1]
    assert (done.attempt, done.worker, done.statistics, done.at) == (3, "host:7", {"items": 2}, START)


def test_a_parser_may_return_nothing() -> None:
    line = FakeLine(write_task(task()))
    worked(line, lambda _: None)
    assert line.reports[-1].statistics == {}


def test_a_task_past_its_deadline_is_refused_and_not_parsed() -> None:
    line = FakeLine(write_task(task(deadline_at=START)))
    worked(line, raising(AssertionError("it was parsed")))
    assert line.log == ["cancelled", "committed", "closed"]
    assert line.reports[0].reason == "expired"


@pytest.mark.parametrize(
    ("error", "status", "reason", "sentence"),
    [
        (PermanentError("no feed"), Status.FAILED, "", "no feed"),
        (TransientError("no answer"), Status.FAILED, "", "no answer"),
        (SourceGoneError("410"), Status.FAILED, "source gone", "410"),
        (LateError("too slow"), Status.CANCELLED, "expired", "too slow"),
        (KeyError("x"), Status.FAILED, "", "KeyError: 'x'"),
    ],
)
def test_what_a_parser_raises_ends_its_task_and_not_the_worker(
    error: Exception, status: Status, reason: str, sentence: str
) -> None:
    line = FakeLine(write_task(task(1)), write_task(task(2)))
    worked(line, raising(error))
    assert [each.status for each in line.reports] == [Status.IN_PROGRESS, status] * 2
    assert (line.reports[1].reason, line.reports[1].error) == (reason, sentence)
    assert line.log.count("committed") == 2


def test_what_a_parser_returns_in_place_of_statistics_fails_its_task() -> None:
    line = FakeLine(write_task(task()))
    worked(line, lambda _: 5)
    assert line.reports[-1].status is Status.FAILED


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"[]", b'{"version": 2}', b"[" * 100_000])
def test_a_poison_message_is_left_out_and_the_next_is_worked(value: bytes | None) -> None:
    line = FakeLine(value, write_task(task()))
    worked(line, lambda _: {})
    assert line.log == ["committed", "in_progress", "done", "committed", "closed"]


def test_a_task_of_another_parser_is_left_out() -> None:
    line = FakeLine(write_task(task(parser="vk")))
    worked(line, lambda _: {})
    assert line.log == ["committed", "closed"]


def test_a_broker_that_is_away_is_waited_for_longer_each_time() -> None:
    line, pauses = FakeLine(write_task(task())), Pauses()
    line.away = 7
    worked(line, lambda _: {}, stopping=pauses)
    assert line.log == ["in_progress", "done", "committed", "closed"]
    assert pauses.waits == [1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_is_stopped_while_the_broker_is_away_leaves_the_task_to_be_done_again() -> None:
    line = FakeLine(write_task(task()))
    line.away = 100
    worked(line, lambda _: {}, stopping=Pauses(after=3))
    assert line.log == ["closed"]


def test_a_stop_lets_the_task_under_way_end() -> None:
    line = FakeLine(write_task(task(1)), write_task(task(2)))
    stopping = Pauses()
    worked(line, lambda _: stopping.set(), stopping=stopping)
    assert line.log == ["in_progress", "done", "committed", "closed"]


def test_a_crash_commits_nothing() -> None:
    line = FakeLine(write_task(task()))
    with pytest.raises(SystemExit):
        worked(line, raising(SystemExit(1)))
    assert line.log == ["in_progress", "closed"]


def test_a_commit_that_fails_does_not_end_the_worker() -> None:
    line = FakeLine(write_task(task(1)), write_task(task(2)))

    def failing(taken: Message) -> None:
        raise TransientError("another worker has the partition")

    line.finish = failing  # type: ignore[method-assign]
    worked(line, lambda _: {})
    assert line.log == ["in_progress", "done"] * 2 + ["closed"]


def test_statistics_that_no_broker_would_take_are_left_out() -> None:
    line = FakeLine(write_task(task()))
    worked(line, lambda _: {str(number): "x" * 100 for number in range(10_000)})
    assert list(line.reports[-1].statistics) == ["left_out"]
    assert MOST_BYTES < 1_000_000
