"""What is kept of runs, on SQLite and on Postgres: the newest word of each, and totals that never fall."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
import sqlalchemy

from include.common.database import connect, new_engine
from include.common.errors import ConfigError, TransientError
from include.common.schema import migrate
from include.enrichment.history import History, RunCounts, Totals, counts_of
from include.enrichment.models import Counts
from include.enrichment.report import Report
from include.launch.branches import branches

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
RUN = RunCounts(
    dag_id="csv_processing",
    run_id="manual__1",
    state="success",
    rows=100,
    ok=90,
    failed=8,
    skipped=2,
    calls=110,
    retries=12,
    waited=30.5,
    seconds=60.0,
    files=1,
    partial=False,
    began=1764158340.25,
    ended_at=NOON,
)


@pytest.fixture(scope="module")
def url(new_database):
    url = new_database()
    migrate(url, branches=branches())
    return url


@pytest.fixture
def engine(url):
    engine = connect(url)
    with engine.begin() as connection:
        for table in ("csv_runs", "csv_totals"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    yield engine
    engine.dispose()


@pytest.fixture
def history(engine):
    return History(engine)


def total(history, state="success"):
    return next(one for one in history.totals(["csv_processing"]) if one.state == state)


def test_what_is_kept_of_runs_is_found_by_their_ids(history):
    other = replace(RUN, run_id="manual__2", state="failed", partial=True)
    elsewhere = replace(RUN, dag_id="symbol_processing")
    for run in (RUN, other, elsewhere):
        history.keep(run)
    assert history.of("csv_processing", ["manual__1", "manual__2", "manual__3"]) == {
        "manual__1": RUN,
        "manual__2": other,
    }
    assert history.of("symbol_processing", ["manual__1"]) == {"manual__1": elsewhere}


def test_the_counts_of_many_runs_are_one_query(engine, history):
    for number in range(30):
        history.keep(replace(RUN, run_id=f"manual__{number}"))
    asked = []
    sqlalchemy.event.listen(engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    assert len(history.of("csv_processing", [f"manual__{number}" for number in range(50)])) == 30
    assert len(asked) == 1


def test_no_runs_are_asked_for_and_none_are_found(history):
    assert history.of("csv_processing", []) == {}


def test_a_run_that_is_told_again_is_what_it_was_told_last(history):
    again = replace(RUN, state="failed", ok=0, failed=98, ended_at=NOON + timedelta(hours=1))
    history.keep(RUN)
    history.keep(again)
    assert history.of("csv_processing", ["manual__1"]) == {"manual__1": again}


def test_an_id_of_any_length_is_kept(history):
    long = replace(RUN, run_id="manual__" + "ü" * 1000)
    history.keep(long)
    history.keep(replace(RUN, run_id=long.run_id[:-1]))
    assert history.of("csv_processing", [long.run_id]) == {long.run_id: long}


def test_counts_beyond_32_bits_are_kept(history):
    many = replace(RUN, rows=5_000_000_000, ok=5_000_000_000, calls=9_000_000_000)
    history.keep(many)
    assert history.of("csv_processing", ["manual__1"])["manual__1"].calls == 9_000_000_000


def test_totals_add_up_over_runs_and_keep_the_last_end(history):
    history.keep(RUN)
    history.keep(replace(RUN, run_id="manual__2", seconds=20.0, ended_at=NOON + timedelta(hours=1)))
    assert history.totals(["csv_processing", "symbol_processing"]) == [
        Totals(
            dag_id="csv_processing",
            state="success",
            runs=2,
            seconds=80.0,
            ok=180,
            failed=16,
            skipped=4,
            calls=220,
            retries=24,
            waited=61.0,
            last_seconds=20.0,
            last_ended_at=(NOON + timedelta(hours=1)).timestamp(),
        )
    ]


def test_totals_are_of_the_dags_that_are_asked_for_and_apart_by_state(history):
    for run in (RUN, replace(RUN, run_id="manual__2", state="failed"), replace(RUN, dag_id="symbol_processing")):
        history.keep(run)
    assert sorted((one.dag_id, one.state, one.runs) for one in history.totals(["csv_processing"])) == [
        ("csv_processing", "failed", 1),
        ("csv_processing", "success", 1),
    ]
    assert history.totals([]) == []


def test_a_run_that_is_told_again_unchanged_is_one_more_end_and_no_more_rows_or_calls(history):
    history.keep(RUN)
    history.keep(RUN)
    found = total(history)
    assert (found.runs, found.seconds) == (2, 120.0)
    assert (found.ok, found.failed, found.skipped) == (90, 8, 2)
    assert (found.calls, found.retries, found.waited) == (110, 12, 30.5)


def test_a_run_that_was_cleared_adds_what_it_has_more_than_before(history):
    """Its eight failed rows were called again, and answered."""
    history.keep(replace(RUN, state="failed"))
    history.keep(replace(RUN, ok=98, failed=0, calls=118, retries=20, waited=40.5))
    before, after = total(history, "failed"), total(history, "success")
    assert (before.ok, before.failed, before.calls) == (90, 8, 110)
    assert (after.ok, after.failed, after.calls, after.retries, after.waited) == (8, 0, 8, 8, 10.0)


def test_no_total_falls_where_a_run_has_less_than_before(history):
    history.keep(RUN)
    before = total(history)
    history.keep(replace(RUN, ok=1, failed=0, skipped=0, calls=1, retries=0, waited=0.0))
    assert replace(total(history), runs=1, seconds=60.0) == before


def test_a_run_with_a_new_folder_counts_all_of_its_rows_and_calls_once_more(history):
    """Its plan was done again, or its folder was pruned and it ran anew."""
    history.keep(RUN)
    history.keep(replace(RUN, began=RUN.began + 60))
    assert (total(history).runs, total(history).ok, total(history).calls) == (2, 180, 220)


def test_runs_that_end_at_the_same_time_all_count(engine, history):
    begin = Barrier(8)

    def tell(number):
        begin.wait()
        for again in range(5):
            history.keep(replace(RUN, run_id=f"manual__{number}", ok=90 + again))

    threads = [Thread(target=tell, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = total(history)
    assert (found.runs, found.ok, found.calls) == (40, 8 * 94, 8 * 110)


def test_a_run_told_by_two_at_once_counts_its_calls_once(engine, history):
    begin = Barrier(4)

    def tell():
        begin.wait()
        history.keep(RUN)

    threads = [Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (total(history).runs, total(history).calls) == (4, 110)


def test_a_report_has_all_that_is_kept():
    report = Report(
        pipeline="csv_processing",
        run_id="manual__1",
        state="success",
        seconds=60.0,
        counts=Counts(100, 90, 8, 2),
        files=1,
        calls=110,
        retries=12,
        waited=30.5,
        began=1764158340.25,
    )
    assert counts_of(report, NOON) == RUN


def test_a_dry_run_has_no_rows_and_no_calls():
    counts = counts_of(Report("csv_processing", "manual__1", "dry run", 1.5), NOON)
    assert (counts.state, counts.rows, counts.ok, counts.calls, counts.seconds) == ("dry run", 0, 0, 0, 1.5)


ASKED = [
    lambda history: history.keep(RUN),
    lambda history: history.of("csv_processing", ["manual__1"]),
    lambda history: history.totals(["csv_processing"]),
]


@pytest.mark.parametrize("ask", ASKED)
def test_a_database_that_is_away_may_come_back(ask):
    with pytest.raises(TransientError, match="the application database"):
        ask(History(new_engine("postgresql+psycopg2://me@127.0.0.1:9/headrace?connect_timeout=1")))


@pytest.mark.parametrize("ask", ASKED)
def test_a_database_that_was_not_migrated_says_so(ask, tmp_path):
    with pytest.raises(ConfigError, match="make migrate"):
        ask(History(new_engine(f"sqlite:///{tmp_path / 'empty.db'}")))
