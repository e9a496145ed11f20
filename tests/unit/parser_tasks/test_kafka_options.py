"""What librdkafka is told and what its errors mean; no broker is reached here."""

import pytest
from confluent_kafka import KafkaError

from include.common.errors import ConfigError, TransientError
from include.parser_tasks.broker import Consumer, OutgoingMessage, Producer, Sent
from include.parser_tasks.broker_admin import Admin
from include.parser_tasks.kafka_options import Faults, made, meaning
from include.parser_tasks.settings import KafkaSettings

NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"sasl.passwort": "hidden"}, "look at `sasl.passwort`"),
        ({"security.protocol": "hidden"}, "look at `security.protocol`"),
        ({"socket.timeout.ms": "hidden"}, "look at `socket.timeout.ms`"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/hidden"}, "look at `ssl.ca.location`"),
    ],
)
def test_an_option_that_librdkafka_does_not_take_is_named_without_its_value(config, named):
    for client in (Producer, Admin, lambda settings: Consumer(settings, "t")):
        with pytest.raises(ConfigError) as refused:
            client(KafkaSettings(NOBODY, config))
        assert named in str(refused.value)
        assert "hidden" not in str(refused.value)
        assert refused.value.__cause__ is None


def test_where_nobody_named_a_broker_it_is_said_where_to_name_one():
    with pytest.raises(ConfigError, match="KAFKA_BOOTSTRAP_SERVERS, KAFKA_HOST and connection `kafka_default` are em"):
        Producer(KafkaSettings(""))


def test_what_a_shared_connection_says_of_groups_and_callbacks_is_not_taken():
    taken = {}

    def client(options, logger):
        taken.update(options)

    config = {"group.id": "theirs", "error_callback": "a.b", "auto.offset.reset": "latest", "ssl.ca.location": "/ca"}
    made(client, KafkaSettings(NOBODY, config), Faults(NOBODY), {"auto.offset.reset": "earliest"})
    assert (taken["bootstrap.servers"], taken["ssl.ca.location"]) == (NOBODY, "/ca")
    assert taken["auto.offset.reset"] == "earliest"
    assert "group.id" not in taken
    assert "error_callback" not in taken


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._AUTHENTICATION, ConfigError),
        (KafkaError.SASL_AUTHENTICATION_FAILED, ConfigError),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, ConfigError),
        (KafkaError._ALL_BROKERS_DOWN, TransientError),
        (KafkaError._TIMED_OUT, TransientError),
        (KafkaError.NOT_ENOUGH_REPLICAS, TransientError),
    ],
)
def test_who_is_refused_is_told_so_and_all_else_may_pass(code, kind):
    assert type(meaning(KafkaError(code), NOBODY)) is kind


def test_a_broker_that_is_away_is_said_to_be_in_bounded_time():
    settings = KafkaSettings(NOBODY)
    with pytest.raises(TransientError, match="no Kafka broker"):
        Admin(settings, seconds=0.2).backlog("g", "t")
    messages = [OutgoingMessage(name, "t", b"k", b"v") for name in ("one", "two")]
    away = "not acknowledged by Kafka at `127.0.0.1:1`"
    assert Producer(settings).send(messages, seconds=0.2) == [Sent(name, None, away) for name in ("one", "two")]


def test_a_fault_that_goes_on_is_in_the_log_once_a_minute(caplog):
    now = [0.0]
    faults = Faults(NOBODY, clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 59.0, 60.0):
        faults(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
        faults(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
    assert caplog.messages == ["Kafka: 1/1 brokers are down", "Kafka: Connection refused"] * 2
    assert faults.refused is None
