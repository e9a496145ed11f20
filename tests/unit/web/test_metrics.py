"""What answers at /headrace/metrics, and to whom."""

from dataclasses import replace

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from starlette.exceptions import HTTPException

from include.common.errors import ConfigError, TransientError
from include.web.metrics import SCRAPER, add_metrics, or_scraper
from include.web.overview import build_app
from include.web.pages import Pages, Tab
from tests.routes import answered, paths, undocumented
from tests.unit.web.conftest import ADMIN, STRANGER, VIEWER

TAB = Tab("Overview", "")
TOKEN = "kqz81-kqz82-kqz83"
SCRAPING = {"authorization": f"Bearer {TOKEN}"}
ADDRESS = "/headrace/metrics"
BROWSER = {"accept": "text/html"}


def toys(_):
    made = CounterMetricFamily("toys_made", "Toys.", labels=["kind"])
    made.add_metric(['<b>"odd"\\'], 3)
    yield made
    yield GaugeMetricFamily("toys_left", "Toys that are left.", value=2)


@pytest.fixture
def client(access, served):
    def serve(measure=toys, token=TOKEN, prefix=""):
        app = build_app(Pages(TAB, (TAB,)), or_scraper(access, token), lambda user: [])
        add_metrics(app, measure)
        return served(prefix, overview=app)

    return serve


def samples(text, read=parse):
    return {(one.name, *one.labels.values()): one.value for family in read(text) for one in family.samples}


def test_the_token_reads_the_metrics_as_prometheus_takes_them(client):
    answer = client().get(ADDRESS, headers=SCRAPING)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert samples(answer.text) == {("toys_made_total", '<b>"odd"\\'): 3, ("toys_left",): 2}


def test_who_asks_for_openmetrics_gets_it(client):
    asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    answer = client().get(ADDRESS, headers={**SCRAPING, "accept": asked})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert samples(answer.text, parse_openmetrics) == {("toys_made_total", '<b>"odd"\\'): 3, ("toys_left",): 2}


def test_every_scrape_measures_anew_and_keeps_nothing(client):
    seen = []

    def measure(user):
        seen.append(user)
        yield CounterMetricFamily("toys_made", "Toys.", value=len(seen))

    served = client(measure)
    found = [samples(served.get(ADDRESS, headers=SCRAPING).text) for _ in range(3)]
    assert [one[("toys_made_total",)] for one in found] == [1, 2, 3]
    assert seen == [SCRAPER] * 3


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_who_may_see_the_pages_sees_the_metrics_with_a_login(client, token):
    seen = []
    served = client(lambda user: seen.append(user) or toys(user), token)
    assert [served.get(ADDRESS, headers=headers).status_code for headers in (ADMIN, VIEWER)] == [200, 200]
    assert seen == ["admin", "viewer"]


def test_a_user_without_the_right_is_refused(client):
    assert client().get(ADDRESS, headers=STRANGER).status_code == 403


@pytest.mark.parametrize("headers", [{}, BROWSER])
def test_without_token_and_login_the_answer_is_401(client, headers):
    answer = client().get(ADDRESS, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "toys" not in answer.text


@pytest.fixture
def refusing(access):
    """A login that refuses a token of somebody else's with 403, as Airflow's does."""

    async def user_of(request):
        raise HTTPException(403, "Invalid JWT token")

    return replace(access, user_of=user_of)


@pytest.mark.parametrize(
    "given",
    [
        "Bearer wrong",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer  {TOKEN}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer ",
        "Bearer токен",
    ],
)
@pytest.mark.parametrize("token", [TOKEN, ""])
def test_a_wrong_token_is_401_whether_or_not_there_is_a_right_one(refusing, served, token, given):
    app = build_app(Pages(TAB, (TAB,)), or_scraper(refusing, token), lambda user: [])
    add_metrics(app, toys)
    answer = served(overview=app).get(ADDRESS, headers={"authorization": given.encode()})
    assert (answer.status_code, "toys" in answer.text) == (401, False)


def test_the_token_opens_nothing_else(access, served):
    app = build_app(Pages(TAB, (TAB,)), or_scraper(access, "token"), lambda user: [])
    add_metrics(app, toys)
    routes = list(undocumented(paths(app, "/headrace")))
    assert {"GET /headrace/", "GET /headrace/openapi.json", f"GET {ADDRESS}"} <= {route.name for route in routes}
    found = answered(served(overview=app), routes, {"authorization": "Bearer token"})
    assert {name: status for name, status in found.items() if "static" not in name} == {f"GET {ADDRESS}": 200}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_token_changes_nothing(client, method):
    assert client().request(method, ADDRESS, headers=SCRAPING).status_code == 403


def test_the_metrics_are_below_the_prefix_of_airflows_address(client):
    assert client(prefix="/flow").get(ADDRESS, headers=SCRAPING).url.path == "/flow/headrace/metrics"
    assert client(prefix="/flow").get(ADDRESS, headers=SCRAPING).status_code == 200


@pytest.mark.parametrize("headers", [SCRAPING, {**SCRAPING, **BROWSER}])
def test_a_database_that_is_away_is_503_and_a_sentence(client, headers):
    def away(_):
        raise TransientError("the application database cannot be used for the totals of the runs: refused")
        yield

    answer = client(away).get(ADDRESS, headers=headers)
    assert answer.status_code == 503
    assert "the application database cannot be used for the totals of the runs" in answer.text
    assert "Traceback" not in answer.text


def test_a_database_that_was_not_migrated_is_an_error_and_a_sentence(client):
    def missing(_):
        raise ConfigError("run `make migrate`")

    answer = client(missing).get(ADDRESS, headers=SCRAPING)
    assert (answer.status_code, answer.json()) == (503, {"detail": "run `make migrate`"})


def test_the_answer_is_nobody_elses(client):
    assert client().get(ADDRESS, headers=SCRAPING).headers["cache-control"] == "no-store"
