"""An address with fields in it says the whole call; one without stands before the request's path."""

import pytest

from include.common.errors import ConfigError
from include.common.http.endpoint import Endpoint
from include.enrichment.addressing import Addressing, spread
from include.enrichment.models import Request

REQUEST = Request(connection="csv_api", path="/{id}", headers={"X-A": "b"})


def url_of(address, row):
    request, endpoint = spread(REQUEST, Endpoint(address, "API_URL"))
    return Addressing(request, endpoint).text_for(row)


def test_an_address_without_fields_is_followed_by_the_requests_own_path():
    assert url_of("https://api.example.com/items", {"id": "7"}) == "https://api.example.com/items/7"


def test_an_address_with_fields_says_path_and_query():
    row = {"id": "7", "sku": "a/b c", "country": "Österreich"}
    expected = "https://api.example.com/search?sku=a%2Fb%20c&in=%C3%96sterreich"
    assert url_of("https://api.example.com/search?sku={sku}&in={country}", row) == expected


def test_a_field_right_behind_the_host_is_its_query():
    assert url_of("https://api.example.com?sku={id}", {"id": "7"}) == "https://api.example.com/?sku=7"


def test_the_rest_of_the_request_stays():
    request, _ = spread(REQUEST, Endpoint("https://api.example.com/{id}/x", "API_URL"))
    assert (request.headers, request.path) == ({"X-A": "b"}, "/{id}/x")


@pytest.mark.parametrize("address", ["https://{id}.example.com/x", "https://api.example.com:{id}/x"])
def test_a_row_cannot_say_where_the_credentials_go(address):
    with pytest.raises(ConfigError):
        spread(REQUEST, Endpoint(address, "API_URL"))


def test_a_secret_written_beside_a_field_is_never_shown():
    _, endpoint = spread(REQUEST, Endpoint("https://api.example.com/q?apikey=s3cr3t&sku={id}", "API_URL"))
    assert endpoint.without_secrets("bad key s3cr3t") == "bad key ***"


def test_a_template_that_is_none_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"request\.path is `/\{id`"):
        spread(REQUEST, Endpoint("https://api.example.com/{id", "API_URL"))


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("apikey=SECRET/abc+def==&q={id}", "/x?apikey=SECRET/abc+def==&q=1"),
        ("apikey=SECRET%2babc&q={id}", "SECRET+abc"),
        ("auth=SECRETSECRET:{id}", "auth=SECRETSECRET:7"),
    ],
)
def test_a_key_in_the_address_is_hidden_in_each_form(query, shown):
    _, endpoint = spread(REQUEST, Endpoint(f"https://api.example.com/x?{query}", "API_URL"))
    assert "SECRET" not in endpoint.without_secrets(shown)


@pytest.mark.parametrize(
    "address", ["https://a.example/s?apikey=s3cr3t&q={nocolumn}", "https://a.example/s?k=s3cr3t&q={"]
)
def test_a_wrong_field_in_an_address_is_told_without_the_key_beside_it(address):
    def check():
        request, _ = spread(REQUEST, Endpoint(address, "API_URL"))
        for template in request.templates():
            template.check_columns(("id",))

    with pytest.raises(ConfigError, match=r"/s\?…`") as caught:
        check()
    assert "s3cr3t" not in str(caught.value)
