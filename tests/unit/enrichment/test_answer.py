"""What an answer means: a value, or an error (over the wire: `test_client.py`)."""

import json

import pytest

from include.common.errors import ConfigError, PermanentError, TransientError
from include.common.http.endpoint import Endpoint
from include.common.http.errors import AccessError
from include.enrichment.answer import Answer, AnswerReader
from include.enrichment.models import Expected


def reader(expected: Expected | None = None, clock=lambda: 0.0) -> AnswerReader:
    return AnswerReader(Endpoint("http://h", "API_URL", {"X-Key": "s3cr3t-key"}), expected, clock)


def value(body: bytes, status: int = 200, expected: Expected | None = None) -> object:
    return reader(expected).value(Answer(status, {}, body))


@pytest.mark.parametrize(
    "body", [b'{"a": [1,\n 2]}', b'\xef\xbb\xbf"\\ud800"', b"[-Infinity]", b"[" * 100 + b"]" * 100]
)
def test_an_answer_is_read_as_json_reads_it(body):
    assert value(body) == json.loads(body)


def test_no_content_is_null_where_nothing_is_expected():
    assert value(b"", 204) is None
    with pytest.raises(TransientError, match="204 with a body that is not JSON"):
        value(b"", 204, Expected("count"))


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206])
def test_any_success_is_an_answer(status):
    assert value(b"[1]", status) == [1]


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (200, b"<p>s3cr3t-key</p>", TransientError, "200 with a body that is not JSON: `<p>***</p>`"),
        (200, b"[" * 101 + b"]" * 101, PermanentError, "the answer is nested deeper than 100 levels"),
        (200, b"[" * 10_000 + b"]" * 10_000, PermanentError, "the answer is nested deeper than 100 levels"),
        (200, b'{"a": %s}' % (b"1" * 5000), PermanentError, "the answer holds an integer of more than 4300 digits"),
        (200, b'{"note": "later"}', TransientError, "200 without `count`: later"),
        (200, b'{"error": "s3cr3t-key"}', TransientError, '200 without `count`: `{"error": "***"}`'),
        (401, b"", AccessError, "401: http://h refuses the credentials (from API_URL)"),
        (429, b"slow\ndown", TransientError, "429: `slow down`"),
        (404, b"", PermanentError, "404"),
    ],
)
def test_what_is_no_answer_is_an_error_that_says_why(status, body, error, said):
    with pytest.raises(error) as caught:
        value(body, status, Expected("count", ("note",)))
    assert str(caught.value).replace("http://h/", "http://h") == said


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("items", b'{"items": [1]}'),
        ("data.items", b'{"data": {"items": [1]}}'),
        ("data.items", b'{"data.items": 1, "data": {"items": null}}'),
        ("Time Series (Daily)", b'{"Time Series (Daily)": {"a": 1}}'),
        ("data.n", b'{"data": {"n": 0}}'),
    ],
)
def test_an_answer_with_something_at_the_expected_path_is_an_answer(key, body):
    assert value(body, expected=Expected(key)) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"data": {}}', b'{"data": {"items": []}}', b'{"data": [{"items": 1}]}', b'{"data": "items"}'),
        *(b'{"items": 1}', b'{"data.items": null, "data": {"items": 1}}', b"[]", b"null", b'"data.items"'),
    ],
)
def test_an_answer_with_nothing_at_the_expected_path_is_worth_another_try(body):
    with pytest.raises(TransientError, match=r"^200 without `data\.items`: `"):
        value(body, expected=Expected("data.items"))


@pytest.mark.parametrize("key", ["", " ", None])
def test_no_path_to_expect_is_a_configuration_error(key):
    with pytest.raises(ConfigError, match=f"expected.key is `{key}`; allowed is a key or a path of keys"):
        Expected(key)


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
