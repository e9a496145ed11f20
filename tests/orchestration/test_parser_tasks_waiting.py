"""The trigger that waits for statuses, where there is nothing to wait for."""

import logging

import pytest

from include.orchestration.parser_tasks import waiting
from include.orchestration.parser_tasks.waiting import StatusesWaiting
from include.parser_tasks.settings import from_environment


class Admin:
    """A broker where three statuses wait."""

    made = 0

    def __init__(self, settings, seconds):
        type(self).made += 1

    def lag(self, group, topic):
        return 3

    def close(self):
        pass


@pytest.fixture
def looks(monkeypatch):
    """The environments that the settings are read from, look by look; what is left was not looked at."""
    environments = []

    async def settings():
        return from_environment(environments.pop(0))

    monkeypatch.setattr(waiting, "settings_of_trigger", settings)
    monkeypatch.setattr(waiting, "Admin", Admin)
    monkeypatch.setattr(waiting, "PAUSE", 0.0)
    monkeypatch.setattr(Admin, "made", 0)
    return environments


async def events():
    return [event.payload async for event in StatusesWaiting().run()]


NAMED = {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        ({}, "no statuses are read: no Kafka broker is named (KAFKA_BOOTSTRAP_SERVERS or the connection"),
        ({**NAMED, "KAFKA_WORKERS_ENABLED": "false"}, "no statuses are read: KAFKA_WORKERS_ENABLED is false"),
    ],
)
async def test_it_waits_for_a_broker_that_is_to_be_read_and_says_so_once(looks, caplog, before, sentence):
    looks.extend([before, before, NAMED])
    with caplog.at_level(logging.INFO, logger=waiting.__name__):
        assert await events() == [{"waiting": 3}]
    assert looks == []
    assert [line.startswith(sentence) for line in caplog.messages] == [True]


async def test_its_wait_for_a_broker_ends_as_any_other_does(looks, monkeypatch):
    looks.append({})
    monkeypatch.setattr(waiting, "LONGEST", 0.0)
    assert await events() == [{"waiting": 0}]
    assert Admin.made == 0
