"""What an answer means for its row: a value, or an error that says whether another try may help.

408, 425, 429, 5xx, a body that is no JSON and a soft error are transient; 401 and 403 concern every row; any other
status from 300 on, and JSON that is too deep or too long to be worked with, is permanent for the row (RFC 9110,
RFC 6585, RFC 8470).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from include.common import jsontext
from include.common.errors import PermanentError, TransientError
from include.common.http.endpoint import Endpoint
from include.common.http.errors import AccessError
from include.common.http.redaction import redacted
from include.common.http.retry_after import retry_after
from include.enrichment.models import Expected

TRANSIENT = frozenset({408, 425, 429})
# Characters of an answer that an error quotes, and bytes that are looked at for them.
QUOTED_LENGTH = 200
LOOKED_AT = 4096
# What walks an answer later does so by recursion.
MAX_DEPTH = 100


@dataclass(frozen=True)
class Answer:
    """What came back: `body` is decompressed and whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AnswerReader:
    """Reads the answers of one endpoint; no message of its errors holds one of the endpoint's secrets.

    `value` raises `TransientError` where a later try may succeed, `AccessError` for 401 and 403, `PermanentError`
    else.
    """

    def __init__(self, endpoint: Endpoint, expected: Expected | None, clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._expected = expected
        self._clock = clock

    def value(self, answer: Answer) -> Any:
        """The decoded JSON; None for a 204 where nothing is expected."""
        if answer.status != 200:
            self._check_status(answer)
            if answer.status == 204 and not self._expected:
                return None
        try:
            value = jsontext.decode(answer.body, MAX_DEPTH)
        except jsontext.TooLargeError as error:
            raise PermanentError(f"the answer {error}") from error
        except ValueError as error:
            said = f"{answer.status} with a body that is not JSON: {self._excerpt(answer.body)}"
            raise TransientError(said, self._wait(answer)) from error
        if self._expected:
            self._check_expected(value, self._expected, answer)
        return value

    def _check_status(self, answer: Answer) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        if status in (401, 403):
            raise AccessError(
                f"{status}: {redacted(self._endpoint.url)} refuses the credentials (from {self._endpoint.origin})"
            )
        said = f"{status}: {self._excerpt(answer.body)}" if answer.body.strip() else f"{status}"
        if status in TRANSIENT or status >= 500:
            raise TransientError(said, self._wait(answer))
        raise PermanentError(said)

    def _check_expected(self, value: Any, expected: Expected, answer: Answer) -> None:
        wanted = _at(value, expected.key)
        if wanted not in (None, "", [], {}) and (expected.kind == "any" or isinstance(wanted, Mapping)):
            return
        note = next((value[name] for name in expected.notes if isinstance(value, Mapping) and value.get(name)), None)
        said = self._endpoint.without_secrets(str(note))[:QUOTED_LENGTH] if note else self._excerpt(answer.body)
        raise TransientError(f"{answer.status} without `{expected.key}`: {said}", self._wait(answer))

    def _wait(self, answer: Answer) -> float | None:
        return retry_after(answer.headers.get("Retry-After"), self._clock())

    def _excerpt(self, body: bytes) -> str:
        text = self._endpoint.without_secrets(body[:LOOKED_AT].decode("utf-8", "replace"))
        if len(body) > LOOKED_AT:  # a secret that is cut off at the end was not recognized
            text = text[: -max(map(len, self._endpoint.secrets), default=1)]
        text = " ".join(text.split())
        return f"`{text[:QUOTED_LENGTH]}{'…' * (len(text) > QUOTED_LENGTH)}`" if text else "(empty)"


def _at(value: Any, path: str) -> Any:
    """What stands at `data.items` in an answer, None where that is not there; a key of the whole name goes before."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
