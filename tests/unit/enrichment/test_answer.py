"""What an answer means: a value, a line for the ledger, or an error (over the wire: `test_client.py`)."""

import json

import pytest

from include.common.errors import PermanentError, TransientError
from include.common.jsontext import decode
from include.enrichment.answer import AccessError, Answer, AnswerReader
from include.enrichment.endpoint import Endpoint
from include.enrichment.models import Expected


def reader(expected: Expected | None = None, clock=lambda: 0.0) -> AnswerReader:
    return AnswerReader(Endpoint("http://h", "API_URL", {"X-Key": "s3cr3t-key"}), expected, clock)


def line(body: bytes, status: int = 200, expected: Expected | None = None) -> bytes:
    return reader(expected).line(Answer(status, {}, body))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}', b'{"a": 1}'),
        (b'{\n  "a": [1,\r\n 2]\n}\n', b'{  "a": [1, 2]}'),
        ('{"a": "ü"}'.encode("utf-16"), '{"a":"ü"}'.encode()),
        (b"[1208925819614629174706177]", b"[1208925819614629174706177]"),
        (b"null", b"null"),
    ],
)
def test_a_line_is_the_body_itself_where_that_can_be(body, expected):
    assert line(body) == expected


@pytest.mark.parametrize(
    "body", [b'{"a": [1,\n 2]}', b'\xef\xbb\xbf"\\ud800"', b"[-Infinity]", b"[" * 100 + b"]" * 100]
)
def test_a_line_is_read_as_the_value_that_the_same_answer_gives(body):
    assert decode(line(body)) == reader().value(Answer(200, {}, body)) == json.loads(body)


def test_no_content_is_null_where_nothing_is_expected():
    assert reader().value(Answer(204, {}, b"")) is None
    assert line(b"", 204) == b"null"
    with pytest.raises(TransientError, match="204 with a body that is not JSON"):
        line(b"", 204, Expected("count"))


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206])
def test_any_success_is_an_answer(status):
    assert line(b"[1]", status) == b"[1]"


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (200, b"<p>s3cr3t-key</p>", TransientError, "200 with a body that is not JSON: `<p>***</p>`"),
        (200, b"[" * 101 + b"]" * 101, PermanentError, "the answer is nested deeper than 100 levels"),
        (200, b'{"note": "later"}', TransientError, "200 without `count`: later"),
        (401, b"", AccessError, "401: http://h refuses the credentials (from API_URL)"),
        (429, b"slow\ndown", TransientError, "429: `slow down`"),
        (404, b"", PermanentError, "404"),
    ],
)
def test_a_line_is_refused_for_the_same_reasons_as_a_value(status, body, error, said):
    answer = Answer(status, {}, body)
    for read in (reader(Expected("count", ("note",))).line, reader(Expected("count", ("note",))).value):
        with pytest.raises(error) as caught:
            read(answer)
        assert str(caught.value).replace("http://h/", "http://h") == said


def test_the_clock_is_looked_at_only_for_an_error_that_may_pass():
    looks = []
    read = reader(clock=lambda: looks.append(1) or 0.0)
    read.value(Answer(200, {"Retry-After": "5"}, b"1"))
    with pytest.raises(PermanentError):
        read.value(Answer(404, {"Retry-After": "5"}, b""))
    assert looks == []
    with pytest.raises(TransientError) as caught:
        read.value(Answer(503, {"Retry-After": "5"}, b""))
    assert (caught.value.retry_after, looks) == (5, [1])
