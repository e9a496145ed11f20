"""How a row's call is addressed, without calling anybody (what goes over the wire is told in `test_client.py`)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from include.common.errors import ConfigError, PermanentError
from include.common.http.endpoint import Endpoint
from include.enrichment.addressing import Addressing
from include.enrichment.models import Request

ROW = {"id": "7", "lang": "ru & en"}


def addressing(path="/{id}", url="http://api.example", query=None, key=None, **request) -> Addressing:
    endpoint = Endpoint(url, "API_URL", query={"apikey": key} if key else {})
    return Addressing(Request("csv_api", path, query=query or {}, **request), endpoint)


@pytest.mark.parametrize(
    "url", ["http://h", "http://h/", "http://h:80/a", "https://h:8443/a/b/", "http://[::1]:8080/a"]
)
@pytest.mark.parametrize("address_query", ["", "?v=2&w=a%20b", "#part"])
@pytest.mark.parametrize(
    "path", ["", "/{id}", "items/{id}", "/q?lang={lang}", "/a b/{id}", "/ключ/{id}", "/a:b@c/{id}#x"]
)
@pytest.mark.parametrize("query", [None, {"lang": "{lang}", "a b": "x/{id}?"}])
def test_the_url_put_together_is_the_url_as_a_text(url, address_query, path, query):
    made = addressing(path, url + address_query, query)
    assert str(made.url_for(ROW)) == str(URL(made.text_for(ROW), encoded=True))
    assert made.url_for(ROW) == URL(made.text_for(ROW), encoded=True)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_whatever_a_value_holds_both_ways_lead_to_the_same_url(key):
    made = addressing("/items/{id}/x", "http://h/api", {"id": "{id}"}, key="k y")
    if key in (".", ".."):
        return
    found = made.url_for({"id": key})
    assert found == URL(made.text_for({"id": key}), encoded=True)
    assert (found.query["id"], found.query["apikey"]) == (key, "k y")
    assert found.parts == ("/", "api", "items", key, "x")


@pytest.mark.parametrize("column", ["sku", "a:b", "{id}", "№ п/п"])
def test_a_request_without_a_path_appends_the_key_whatever_its_column_is_called(column):
    made = Addressing(Request("csv_api"), Endpoint("http://h/items?v=2", "API_URL"), column)
    row = {"id": "7", column: "a/б"}
    assert made.text_for(row) == "http://h/items/a%2F%D0%B1?v=2"
    assert made.url_for(row) == URL(made.text_for(row), encoded=True)
    with pytest.raises(PermanentError, match="are not values"):
        made.url_for({column: ".."})


@pytest.mark.parametrize("key", [".", ".."])
def test_a_key_that_would_climb_the_path_is_refused_both_ways(key):
    with pytest.raises(PermanentError, match="are not values"):
        addressing().text_for({"id": key})
    with pytest.raises(PermanentError, match="are not values"):
        addressing().url_for({"id": key})


def test_the_fixed_query_stands_before_the_rows():
    assert addressing("/q", "http://h?v=2", {"id": "{id}"}, key="k").text_for(ROW) == "http://h/q?v=2&apikey=k&id=7"
    assert addressing("/q", "http://h", key="k").text_for(ROW) == "http://h/q?apikey=k"


def test_a_call_without_headers_and_body_has_none():
    assert addressing().headers_for(ROW) is None
    assert addressing().json_for(ROW) is None


def test_headers_and_body_are_filled_with_the_rows_values():
    made = addressing(headers={"X-Id": "{id}"}, json=[{"id": "{id}"}, 5], method="POST")
    assert made.headers_for(ROW) == {"X-Id": "7"}
    assert made.json_for(ROW) == [{"id": "7"}, 5]


def test_a_line_break_in_a_header_is_refused_by_the_headers_name():
    with pytest.raises(PermanentError, match="`X-Id` would hold a line break"):
        addressing(headers={"X-Id": "{id}"}).headers_for({"id": "7\r\nX-Admin: 1"})


def test_a_path_that_is_no_template_is_a_configuration_error():
    with pytest.raises(ConfigError):
        addressing("/{id")
