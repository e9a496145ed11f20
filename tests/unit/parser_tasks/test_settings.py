"""The settings of the parser tasks: names, defaults and refusals."""

import pytest

from include.common.errors import ConfigError
from include.parser_tasks.settings import TOPICS, KafkaSettings, Settings, from_environment


def test_without_any_variable_the_defaults_are_those_of_the_document_and_no_broker_is_named():
    assert from_environment({}) == Settings(
        kafka=KafkaSettings(
            bootstrap="",
            config={},
            topics={"rss": "rss_parser_tasks", "vk": "vk_parser_tasks", "youtube": "youtube_parser_tasks"},
            status_topic="task_statuses",
            group="parser_manager",
            bulk_size=1000,
            bulk_seconds=10.0,
            max_request_size=1_048_576,
            heartbeat_ms=5_000,
            session_ms=45_000,
            partitions=3,
        ),
        page_size=100,
        backlog_limit=10_000,
        statuses_read=True,
    )


def test_every_variable_is_read_and_numbers_may_be_written_as_in_the_document():
    found = from_environment(
        {
            "KAFKA_BOOTSTRAP_SERVERS": "one:9092,two:9092",
            "KAFKA_MAX_REQUEST_SIZE": "2_097_152",
            "KAFKA_HEARTBEAT_INTERVAL_MS": "1_000",
            "KAFKA_SESSION_TIMEOUT_MS": "6000",
            "KAFKA_TASKS_CONSUMER_GROUP": "mine",
            "VK_PARSER_TASKS_TOPIC": "vk",
            "TIK_TOK_PARSER_TASKS_TOPIC": "tik-tok.tasks",
            "KAFKA_TASK_STATUS_TOPIC": "statuses",
            "KAFKA_DEFAULT_BULK_SIZE": "10",
            "KAFKA_DEFAULT_BULK_TIMEOUT": "1500",
            "KAFKA_PARTITIONS": "6",
            "KAFKA_WORKERS_ENABLED": "false",
            "DEFAULT_PAGINATION_SIZE": "20",
            "PARSER_TASKS_BACKLOG_LIMIT": "50",
        }
    )
    assert found == Settings(
        KafkaSettings(
            bootstrap="one:9092,two:9092",
            topics={**TOPICS, "vk": "vk", "tik_tok": "tik-tok.tasks"},
            status_topic="statuses",
            group="mine",
            bulk_size=10,
            bulk_seconds=1.5,
            max_request_size=2_097_152,
            heartbeat_ms=1000,
            session_ms=6000,
            partitions=6,
        ),
        page_size=20,
        backlog_limit=50,
        statuses_read=False,
    )
    assert found.kafka.dead_letter_topic == "statuses.dlq"


@pytest.mark.parametrize(
    ("environment", "extra", "expected"),
    [
        ({"KAFKA_HOST": "kafka"}, {}, "kafka:9092"),
        ({"KAFKA_PORT": "19092"}, {}, "localhost:19092"),
        ({"KAFKA_HOST": "kafka", "KAFKA_PORT": "1"}, {"bootstrap.servers": "other:1"}, "kafka:1"),
        ({"KAFKA_HOST": "kafka", "KAFKA_BOOTSTRAP_SERVERS": "named:1"}, {}, "named:1"),
        ({"KAFKA_BOOTSTRAP_SERVERS": " "}, {"bootstrap.servers": "other:1"}, "other:1"),
        ({"HEADRACE_DEMO_KAFKA": "demo:1"}, {"bootstrap.servers": "other:1"}, "other:1"),
        ({"HEADRACE_DEMO_KAFKA": "demo:1", "KAFKA_HOST": "kafka"}, {}, "kafka:9092"),
        ({"HEADRACE_DEMO_KAFKA": "demo:1"}, {}, "demo:1"),
    ],
)
def test_the_demo_broker_is_taken_only_where_nobody_names_another(environment, extra, expected):
    found = from_environment(environment, extra).kafka
    assert (found.bootstrap, found.demo) == (expected, expected == "demo:1")


def test_options_of_the_connection_go_to_its_own_brokers_or_to_those_that_a_user_named():
    secret = {"sasl.password": "hidden"}
    whole = {"bootstrap.servers": "own:1", **secret}
    assert from_environment({}, whole).kafka.config == secret
    assert from_environment({"KAFKA_BOOTSTRAP_SERVERS": "own:1"}, whole).kafka.config == secret
    assert from_environment({"KAFKA_BOOTSTRAP_SERVERS": "named:1"}, secret).kafka.config == secret
    assert from_environment({"KAFKA_BOOTSTRAP_SERVERS": "named:1"}, whole).kafka.config == {}
    assert from_environment({"HEADRACE_DEMO_KAFKA": "demo:1"}, secret).kafka.config == {}
    assert "hidden" not in repr(from_environment({}, whole))


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"KAFKA_DEFAULT_BULK_SIZE": "0"}, "KAFKA_DEFAULT_BULK_SIZE is `0`; allowed is a whole number from 1"),
        ({"KAFKA_PORT": "70000"}, "KAFKA_PORT is `70000`; allowed is a whole number from 1 to 65535"),
        ({"KAFKA_WORKERS_ENABLED": "maybe"}, "KAFKA_WORKERS_ENABLED is `maybe`; allowed is true or false"),
        ({"RSS_PARSER_TASKS_TOPIC": "a b"}, "RSS_PARSER_TASKS_TOPIC is `a b`; allowed are at most 249 letters"),
        ({"KAFKA_TASK_STATUS_TOPIC": ".."}, "KAFKA_TASK_STATUS_TOPIC is `..`; allowed are at most 249 letters"),
        (
            {"VK_PARSER_TASKS_TOPIC": "rss_parser_tasks"},
            "VK_PARSER_TASKS_TOPIC is `rss_parser_tasks`, the topic of the parser `rss`; allowed is one of its own",
        ),
        (
            {"RSS_PARSER_TASKS_TOPIC": "task_statuses"},
            "RSS_PARSER_TASKS_TOPIC is `task_statuses`, the topic of the s",
        ),
        (
            {"KAFKA_SESSION_TIMEOUT_MS": "5000"},
            "KAFKA_HEARTBEAT_INTERVAL_MS is `5000`; allowed is less than KAFKA_SESSION_TIMEOUT_MS, which is `5000`",
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_a_sentence(environment, sentence):
    with pytest.raises(ConfigError) as refused:
        from_environment(environment)
    assert str(refused.value).startswith(sentence)
