"""The demo API: real figures, counts, and misbehaviour on demand."""

import asyncio

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from include.demo_api.faults import FAULTS, Fault, Quota
from include.demo_api.server import DATA, DemoApi


@pytest.fixture
def api():
    return DemoApi()


@pytest.fixture
async def http(api):
    async with TestClient(TestServer(api.app())) as client:
        yield client


async def counts(http) -> dict:
    async with http.get("/_demo") as response:
        return await response.json()


async def until(http, in_flight: int) -> None:
    """Look at the counts until so many calls are in flight."""
    async with asyncio.timeout(10):
        while (await counts(http))["in_flight"] != in_flight:
            pass


async def told(http, **wanted) -> int:
    async with http.put("/_demo", json=wanted) as response:
        return response.status


async def answer(http, path: str) -> tuple[int, object]:
    async with http.get(path) as response:
        return response.status, await response.json()


def test_it_serves_the_142_countries_of_gapminder(api):
    assert len(api.countries) == 142


async def test_a_country_is_answered_by_its_code(http):
    status, found = await answer(http, "/countries/004")
    assert status == 200
    assert (found["code"], found["name"], found["continent"]) == ("004", "Afghanistan", "Asia")


async def test_a_country_that_is_not_there_is_a_404(http):
    assert await answer(http, "/countries/999") == (404, {"error": "no country `999`"})


async def test_every_row_of_the_sample_input_has_its_country(api):
    rows = (DATA.parent / "input.csv").read_text("utf-8").splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == set(api.countries)


async def test_prices_come_in_alpha_vantages_shape(http):
    status, found = await answer(http, "/query?function=TIME_SERIES_DAILY&symbol=AAPL")
    assert status == 200
    assert found["Meta Data"]["2. Symbol"] == "AAPL"
    day = found["Time Series (Daily)"][found["Meta Data"]["3. Last Refreshed"]]
    assert set(day) == {"1. open", "2. high", "3. low", "4. close", "5. volume"}


@pytest.mark.parametrize("query", ["function=TIME_SERIES_DAILY&symbol=NONE", "function=OTHER&symbol=AAPL", ""])
async def test_a_wrong_query_is_an_error_with_status_200_as_alpha_vantage_has_it(http, query):
    status, found = await answer(http, f"/query?{query}")
    assert (status, list(found)) == (200, ["Error Message"])


async def test_any_key_is_echoed(http):
    assert await answer(http, "/echo/a%2Fb") == (200, {"key": "a/b", "length": 3})


async def test_calls_are_counted_by_key_and_status(http):
    for path in ("/countries/004", "/countries/004", "/countries/999"):
        await answer(http, path)
    found = await counts(http)
    assert (found["calls"], found["answered"], found["in_flight"]) == (3, 2, 0)
    assert found["by_key"] == {"004": 2, "999": 1}
    assert found["statuses"] == {"200": 2, "404": 1}


async def test_the_counts_come_without_the_keys_where_they_are_not_wanted(http):
    await answer(http, "/echo/a")
    _, found = await answer(http, "/_demo?keys=0")
    assert found == {"calls": 1, "answered": 1, "in_flight": 0, "peak": 1, "statuses": {"200": 1}}
    assert (await counts(http))["by_key"] == {"a": 1}


async def test_the_counts_come_with_the_moments_of_the_calls_where_they_are_wanted(http):
    for _ in range(3):
        async with http.get("/echo/a") as response:
            assert response.status == 200
    async with http.get("/_demo?starts=1") as response:
        starts = (await response.json())["starts"]
    assert (len(starts), starts) == (3, sorted(starts))
    assert "starts" not in await counts(http)


async def test_a_body_that_is_sent_slowly_is_the_same_as_at_once(http):
    for path in ("/countries/004", "/countries/999", "/query?function=TIME_SERIES_DAILY&symbol=NONE"):
        at_once = await answer(http, path)
        await told(http, faults=[{"fault": "slow", "seconds": 0.001}])
        assert (await answer(http, path))[1] == at_once[1]
        await told(http)


async def test_looking_at_the_counts_is_not_counted(http):
    await counts(http)
    assert (await counts(http))["calls"] == 0


async def test_the_peak_is_the_highest_number_of_calls_at_once(http):
    await told(http, latency=0.05)
    await asyncio.gather(*(answer(http, f"/echo/{key}") for key in range(7)))
    await answer(http, "/echo/last")
    found = await counts(http)
    assert (found["peak"], found["in_flight"], found["calls"]) == (7, 0, 8)


async def test_setting_it_starts_the_counts_anew(http):
    await answer(http, "/echo/a")
    assert await told(http) == 200
    assert await counts(http) == {
        "calls": 0,
        "answered": 0,
        "in_flight": 0,
        "peak": 0,
        "by_key": {},
        "statuses": {},
    }


async def test_a_call_in_flight_while_the_counts_start_anew_is_taken_off_once(http):
    await told(http, latency=0.05)
    call = asyncio.ensure_future(answer(http, "/echo/a"))
    await until(http, in_flight=1)
    await told(http)
    assert (await counts(http))["in_flight"] == 1
    await call
    assert (await counts(http))["in_flight"] == 0


async def test_a_fault_hits_the_keys_it_names_as_often_as_told(http):
    await told(http, faults=[{"fault": "status", "status": 503, "keys": ["a"], "times": 2}])
    assert [(await answer(http, "/echo/a"))[0] for _ in range(3)] == [503, 503, 200]
    assert (await answer(http, "/echo/b"))[0] == 200


async def test_times_are_counted_for_each_key(http):
    await told(http, faults=[{"fault": "status", "times": 1}])
    assert [(await answer(http, f"/echo/{key}"))[0] for key in "abab"] == [500, 500, 200, 200]


async def test_faults_are_lifted_by_setting_none(http):
    await told(http, faults=[{"fault": "status"}])
    await told(http)
    assert (await answer(http, "/echo/a"))[0] == 200


async def test_429_comes_with_the_retry_after_it_is_told(http):
    await told(http, faults=[{"fault": "status", "status": 429, "retry_after": 7}])
    async with http.get("/echo/a") as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")


async def test_a_status_without_retry_after_has_no_such_header(http):
    await told(http, faults=[{"fault": "status", "status": 429}])
    async with http.get("/echo/a") as response:
        assert "Retry-After" not in response.headers


async def test_a_soft_error_is_200_without_the_answer(http):
    await told(http, faults=[{"fault": "soft"}])
    status, found = await answer(http, "/countries/004")
    assert (status, list(found)) == (200, ["Information"])


async def test_garbage_is_200_and_no_json(http):
    await told(http, faults=[{"fault": "garbage"}])
    async with http.get("/echo/a") as response:
        assert response.status == 200
        with pytest.raises(ValueError, match=r"codec|JSON|Expecting"):
            await response.json()


async def test_a_dropped_connection_ends_without_an_answer(http):
    await told(http, faults=[{"fault": "drop"}])
    with pytest.raises(aiohttp.ClientError):
        await answer(http, "/echo/a")
    assert (await counts(http))["in_flight"] == 0


async def test_a_redirect_leads_where_it_is_told(http):
    await told(http, faults=[{"fault": "redirect", "location": "http://other.example/"}])
    async with http.get("/echo/a", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "http://other.example/")


async def test_a_huge_body_has_the_size_it_is_told(http):
    await told(http, faults=[{"fault": "huge", "megabytes": 2}])
    async with http.get("/echo/a") as response:
        assert len(await response.read()) == 2 * 1024 * 1024


async def test_a_slow_body_comes_whole_to_who_waits(http):
    await told(http, faults=[{"fault": "slow", "seconds": 0.01}])
    assert await answer(http, "/echo/a") == (200, {"key": "a", "length": 1})


async def test_a_client_that_leaves_a_slow_body_is_not_in_flight_for_ever(http):
    await told(http, faults=[{"fault": "slow", "seconds": 0.5}])
    async with http.get("/echo/a") as response:
        response.close()
    await until(http, in_flight=0)


async def test_calls_that_met_a_fault_are_not_answered(http):
    await told(http, faults=[{"fault": "soft"}])
    await answer(http, "/echo/a")
    found = await counts(http)
    assert (found["calls"], found["answered"]) == (1, 0)


@pytest.mark.parametrize(
    "wanted",
    [
        {"faults": [{"fault": "no such"}]},
        {"faults": [{"fault": "soft", "unknown": 1}]},
        {"faults": ["soft"]},
        {"faults": 5},
        {"latency": "slow"},
        {"quota": {"calls": 5}},
        [],
    ],
)
async def test_nonsense_is_refused_and_changes_nothing(http, wanted):
    await told(http, faults=[{"fault": "status", "status": 418}])
    async with http.put("/_demo", json=wanted) as response:
        assert response.status == 400
        assert (await response.json())["error"]
    assert (await answer(http, "/echo/a"))[0] == 418


async def test_a_body_that_is_no_json_is_refused(http):
    async with http.put("/_demo", data=b"{") as response:
        assert response.status == 400


async def test_over_its_quota_it_answers_429_with_retry_after(http):
    await told(http, quota={"calls": 2, "seconds": 1000})
    statuses = []
    for key in "abc":
        async with http.get(f"/echo/{key}") as response:
            statuses.append((response.status, response.headers.get("Retry-After")))
    assert statuses == [(200, None), (200, None), (429, "1000")]


def test_a_quota_counts_in_any_window_of_its_seconds():
    quota = Quota(calls=2, seconds=10)
    assert [quota.wait(now) for now in (0, 4, 5, 9.5, 10, 11, 14)] == [0, 0, 5, 0.5, 0, 3, 0]


def test_a_fault_that_is_unknown_names_those_that_are_known():
    with pytest.raises(ValueError, match="no such.*" + ", ".join(FAULTS)):
        Fault("no such")
