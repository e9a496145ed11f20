"""The health check of a reference parser's worker, on a real Kafka."""

import pytest

from include.common.errors import TransientError
from include.parser_tasks import worker
from include.parser_tasks.broker_admin import Admin
from include.parser_tasks.parsers.health import check
from include.parser_tasks.parsers.line import place
from include.parser_tasks.settings import KafkaSettings
from include.parser_tasks.worker import KafkaLine

# One process has the broker.
pytestmark = pytest.mark.xdist_group("kafka")
# Seconds: longer than it takes to join a group.
LONG = 60


def test_a_worker_is_healthy_on_its_host_while_the_broker_counts_it_to_its_group(kafka, topic, monkeypatch):
    monkeypatch.setattr(worker.socket, "gethostname", lambda: "here")
    given = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "RSS_PARSER_TASKS_TOPIC": topic, "RSS_PARSERS_GROUP": topic}
    where = place("rss", given)
    check(where, "here")  # there are no tasks yet
    Admin(KafkaSettings(kafka)).ensure_topics([topic])
    with pytest.raises(TransientError, match=topic):
        check(where, "here")
    line = KafkaLine(*where)
    try:
        assert is_healthy(where, line)
        with pytest.raises(TransientError, match=f"no worker of elsewhere is in the group `{topic}`"):
            check(where, "elsewhere")
    finally:
        line.close()
    with pytest.raises(TransientError, match="no worker of here"):
        check(where, "here")


def is_healthy(where, line):
    """Whether it gets so; polling is what makes it a member."""
    for _ in range(LONG):
        line.take(1.0)
        try:
            check(where, "here")
            return True
        except TransientError:
            continue
    return False


def test_a_broker_that_is_away_is_said(monkeypatch):
    monkeypatch.setattr("include.parser_tasks.parsers.health.SECONDS", 0.5)
    where = place("rss", {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"})
    with pytest.raises(TransientError, match="Kafka says nothing of topic `rss_parser_tasks` and group `rss_parsers`"):
        check(where, "here")
