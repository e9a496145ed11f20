"""Whose turn it is where a DAG is paused, against an API that keeps what it is asked."""

from datetime import UTC, datetime, timedelta

import pytest

from include.common.errors import ConfigError
from include.launch.embedded.turn import turn

DAG = "csv_processing"
AN_HOUR = timedelta(hours=1)


class Api:
    """`asked` has what would change something in Airflow, in its order; `slips` are runs made while it was unpaused."""

    def __init__(self, paused, due=None, unfinished=(), slips=()):
        self.dag = {
            "is_paused": paused,
            "next_dagrun_run_after": due and due.isoformat(),
            "next_dagrun_logical_date": "the overdue one's",
        }
        self.unfinished, self.slips, self.asked = list(unfinished), list(slips), []

    def find_dag(self, dag_id):
        return self.dag

    def unfinished_runs(self, dag_id):
        return self.unfinished

    def trigger(self, dag_id, conf, run_id=None, logical_date=None, run_after=None):
        self.asked.append(("trigger", logical_date, run_after))
        return run_id or "airflow's"

    def pause(self, dag_id, paused):
        self.asked.append(("pause", paused))
        if not paused:
            self.unfinished += self.slips

    def drop_run(self, dag_id, run_id):
        self.asked.append(("drop", run_id))


def taken(api, scheduled=True):
    with turn(api, DAG, {}, scheduled) as run_id:
        api.asked.append(("run", run_id))
    return api.asked


def test_a_dag_that_is_not_paused_is_left_as_it_is():
    assert taken(Api(paused=False, due=datetime.now(UTC) - AN_HOUR)) == [
        ("trigger", None, None),
        ("run", "airflow's"),
    ]


def test_the_run_of_a_paused_dag_stands_where_the_overdue_one_would_and_before_it():
    due = datetime.now(UTC) - AN_HOUR
    asked = taken(Api(paused=True, due=due))
    assert asked[0] == ("trigger", "the overdue one's", due - timedelta(seconds=1))
    assert [words[0] for words in asked] == ["trigger", "pause", "run", "pause"]
    assert (asked[1], asked[3]) == (("pause", False), ("pause", True))
    assert asked[2][1].startswith(f"manual__{datetime.now(UTC):%Y-}")


@pytest.mark.parametrize("due", [None, datetime.now(UTC) + AN_HOUR])
def test_where_nothing_is_overdue_it_stands_for_itself(due):
    assert taken(Api(paused=True, due=due))[0] == ("trigger", None, None)


def test_a_run_that_becomes_due_meanwhile_is_gone_once_the_dag_is_paused_again_and_a_persons_stays():
    slips = [
        {"dag_run_id": "scheduled__1", "run_type": "scheduled"},
        {"dag_run_id": "manual__2", "run_type": "manual"},
    ]
    assert taken(Api(paused=True, slips=slips))[-2:] == [("pause", True), ("drop", "scheduled__1")]


def test_a_paused_dag_with_a_run_that_would_go_on_is_refused_with_nothing_changed():
    api = Api(paused=True, unfinished=[{"dag_run_id": "manual__1", "run_type": "manual"}])
    with pytest.raises(ConfigError, match=r"^`csv_processing` is paused, and `manual__1` would go on"):
        taken(api)
    assert api.asked == []


def test_the_dag_is_paused_again_whatever_happens_to_the_run():
    api = Api(paused=True)
    with pytest.raises(KeyboardInterrupt), turn(api, DAG, {}, True):
        raise KeyboardInterrupt
    assert api.asked[-1] == ("pause", True)


def test_where_airflow_schedules_nothing_the_run_is_an_ordinary_one():
    api = Api(paused=True, due=datetime.now(UTC) - AN_HOUR, unfinished=[{"dag_run_id": "x", "run_type": "manual"}])
    assert taken(api, scheduled=False)[0] == ("trigger", None, None)
