"""The command that is printed under a run that left rows without an answer."""

import shlex

import pytest

from include.enrichment.models import Counts
from include.enrichment.report import Report
from include.enrichment.run import Plan, Source
from include.orchestration.enrichment.redrive_hint import redrive_hint
from include.orchestration.runner import Again

RUN_ID = "manual__2026-11-22T00:40:05.224996+00:00"


def report(callable):
    return Report("csv_processing", RUN_ID, "success", 1.0, Counts(9, 5, 4, 0), callable=callable)


def plan(**fields):
    source = Source("in.csv", 1, "0", "utf-8", ",", ("id",))
    own = {"rate_limit": "2/minute", "limit": None, "dry_run": False, "rows": 9, "to_call": 9, "output": "o.json"}
    return Plan(**{"source": source, "key": "id"} | own | fields)


def hint(callable=4, given=None, again=None, **fields):
    return redrive_hint(report(callable), plan(**fields), given or {}, again or Again("make run"))


def words(told):
    """The command as a shell would take it."""
    return shlex.split(told.splitlines()[0].partition("): ")[2])


def test_it_says_how_many_calls_are_made():
    assert hint() == (
        f"to call the 4 rows without an answer (4 calls, more where one is retried): make run RETRY_FAILED_OF={RUN_ID}"
    )


def test_it_is_absent_where_nothing_can_be_called():
    assert hint(0) is None
    assert hint(dry_run=True) is None


def test_bounds_go_with_it_and_are_said():
    told = hint(2628, {"max_calls": 40, "deadline": "50 minutes"}, max_calls=40)
    assert "2628 rows without an answer (at most 40 calls): " in told
    assert words(told)[3:] == ["MAX_CALLS=40", "DEADLINE=50 minutes"]


def test_what_a_redrive_takes_from_the_run_is_not_given_again():
    given = {"source": "/a/in.csv", "key": "sku", "limit": 3, "rate_limit": "none", "output": "/a/o.json"}
    assert words(hint(given=given | {"dry_run": False, "retry_failed_of": "earlier"}, limit=3))[2:] == [
        f"RETRY_FAILED_OF={RUN_ID}"
    ]


def test_an_address_that_the_run_did_not_keep_is_given_again_quoted_for_the_shell():
    address = "https://api.example.com/$items/{a b}?sku={sku}"
    told = hint(given={"api_url": address}, api_origin="API_URL")
    assert words(told)[3:] == [f"API_URL={address}"]


def test_an_address_that_the_run_kept_is_not():
    assert "API_URL" not in hint(given={"api_url": "https://a.example.com"}, api_url="https://a.example.com")


@pytest.mark.parametrize("address", ["https://x.example.com/?apikey=s3cret", "https://me:s3cret@x.example.com/items"])
def test_a_key_in_an_address_is_not_shown(address):
    told = hint(given={"api_url": address}, api_origin="API_URL")
    assert "s3cret" not in told
    assert told.endswith("with API_URL as for this run, not shown here, for a key may be in it")


def test_a_connection_of_the_environment_is_asked_for_and_no_other():
    again = Again("make run", unshown=frozenset({"AIRFLOW_CONN_CSV_API", "AIRFLOW_CONN_TELEGRAM_DEFAULT"}))
    told = hint(again=again, api_origin="connection `csv_api`")
    assert told.splitlines()[1].split()[:4] == ["with", "AIRFLOW_CONN_CSV_API", "as", "for"]
    assert "AIRFLOW_CONN" not in hint(again=again, api_origin="the demo API")


def test_what_the_place_needs_goes_with_it():
    again = Again("make run", {"HEADRACE_HOME": "/a home", "DAG": "symbol_processing"})
    assert words(hint(again=again))[3:] == ["HEADRACE_HOME=/a home", "DAG=symbol_processing"]
