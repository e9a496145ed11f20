"""HTTP for parsers: bounded in time, size and redirects, tried again where that helps, never past the deadline."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from include.common.errors import PermanentError, TransientError
from include.common.http.redaction import redacted
from include.common.http.retry_after import retry_after
from include.common.text import one_line
from include.parser_tasks.messages import TaskMessage
from include.parser_tasks.worker import LateError

T = TypeVar("T")
# Seconds for each step of a call; a task's deadline may cut it.
TIMEOUT = 30.0
MOST_BYTES = 10 * 1024 * 1024
MOST_REDIRECTS = 5
TRIES = 4
PASSING = (408, 425, 429)
HEADERS = {"User-Agent": "headrace-parser/1", "Accept-Encoding": "gzip, deflate"}


@dataclass(frozen=True)
class Answer:
    """What came at last; `moved_to` is where the address has moved for good, "" where it has not."""

    status: int
    headers: httpx.Headers
    body: bytes
    url: str
    moved_to: str = ""


class Web:
    """Calls for tasks. `now` is in seconds since the epoch."""

    def __init__(
        self,
        client: httpx.Client,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Any] = time.sleep,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._client, self._now, self._sleep, self._most_bytes = client, now, sleep, most_bytes

    def get(self, task: TaskMessage, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer behind redirects.

        Raises `TransientError` for a connection that fails and a server that cannot now, `PermanentError` where there
        is nothing to be had, `LateError` past the deadline.
        """
        start, moved_to, for_good = url, "", True
        for _ in range(MOST_REDIRECTS + 1):
            answer = self.call(task, "GET", url, headers=headers)
            if answer.status not in (301, 302, 303, 307, 308) or "location" not in answer.headers:
                return Answer(answer.status, answer.headers, answer.body, url, moved_to)
            url = _joined(url, answer.headers["location"])
            for_good = for_good and answer.status in (301, 308)
            moved_to = url if for_good else moved_to
        raise PermanentError(f"`{redacted(start)}` redirects more than {MOST_REDIRECTS} times")

    def retried(self, task: TaskMessage, call: Callable[[], T]) -> T:
        """What `call` returns, tried again where it raises `TransientError` as long as the deadline allows."""
        pause = 1.0
        for left in reversed(range(TRIES)):
            try:
                return call()
            except TransientError as error:
                wait = max(pause, error.retry_after or 0.0)
                if not left or self._now() + wait >= task.deadline_at:
                    raise
            self._sleep(wait)
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def pause(self, task: TaskMessage, seconds: float) -> None:
        """Wait between two calls; raises `LateError` where the deadline would pass meanwhile."""
        if self._now() + seconds >= task.deadline_at:
            raise _late(task)
        self._sleep(seconds)

    def call(self, task: TaskMessage, method: str, url: str, **more: Any) -> Answer:
        """The answer of one call, be it a redirect: what is secret in it goes nowhere else. Raises as `get`."""
        where = f"`{one_line(redacted(url))}`"
        left = task.deadline_at - self._now()
        if left <= 0:
            raise _late(task)
        headers = {**HEADERS, **(more.pop("headers", None) or {})}
        try:
            with self._client.stream(method, url, headers=headers, timeout=min(TIMEOUT, left), **more) as response:
                body = self._body(task, response, where)
        except httpx.TimeoutException as error:
            if left <= TIMEOUT:  # the deadline was all that it was waited for
                raise _late(task) from error
            raise TransientError(f"{where} did not answer in time") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:  # the last of a host's name
            raise PermanentError(f"{where} is no address to call: {error}") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise TransientError(f"{where} cannot be reached: {type(error).__name__}") from error
        if response.status_code >= 500 or response.status_code in PASSING:
            pause = retry_after(response.headers.get("retry-after"), self._now())
            raise TransientError(f"{where} answered {response.status_code}", pause)
        return Answer(response.status_code, response.headers, body, url)

    def _body(self, task: TaskMessage, response: httpx.Response, where: str) -> bytes:
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > self._most_bytes:
                raise PermanentError(f"{where} answered more than {self._most_bytes} bytes")
            if self._now() >= task.deadline_at:
                raise _late(task)
        return bytes(body)


def _joined(url: str, location: str) -> str:
    try:
        return str(httpx.URL(url).join(location))
    except httpx.InvalidURL as error:
        raise PermanentError(f"`{redacted(url)}` redirects to what is no address") from error


def _late(task: TaskMessage) -> LateError:
    return LateError(f"the deadline passed while `{one_line(redacted(task.source.address))}` was asked")
