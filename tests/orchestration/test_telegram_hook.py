"""The Telegram hook against a stand-in that checks what Telegram checks."""

import logging

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.common.errors import ConfigError, PermanentError, TransientError
from include.orchestration.telegram import HeadraceTelegramHook, HeadraceTelegramOperator, Target, find_target
from tests.stand_ins.telegram import TelegramStandIn


@pytest.fixture
def telegram():
    with TelegramStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def slept():
    return []


@pytest.fixture
def hook(telegram, slept):
    async def sleep(seconds):
        slept.append(seconds)

    return HeadraceTelegramHook(Target(telegram.token, telegram.chat_id, telegram.base_url), sleep)


@pytest.fixture
def no_target(monkeypatch):
    for name in ("BOT_TOKEN", "CHAT_ID", "AIRFLOW_CONN_TELEGRAM_DEFAULT"):
        monkeypatch.delenv(name, raising=False)


def refusal(status, description, **parameters):
    return status, {"ok": False, "error_code": status, "description": description, "parameters": parameters}


def test_a_message_arrives_as_html(hook, telegram):
    hook.send_message({"text": "<b>done</b> &amp; dusted"})
    assert [message["text"] for message in telegram.messages] == ["done & dusted"]


def test_a_long_text_arrives_in_pieces_that_telegram_takes(hook, telegram):
    hook.send_message({"text": "<b>" + "\n".join(f"row {n} 😀" for n in range(1000)) + "</b>"})
    assert len(telegram.messages) > 1
    assert "\n".join(message["text"] for message in telegram.messages) == "\n".join(f"row {n} 😀" for n in range(1000))


def test_a_pause_that_telegram_asks_for_is_kept(hook, telegram, slept):
    telegram.answers = [refusal(429, "Too Many Requests: retry after 7", retry_after=7)]
    hook.send_message({"text": "hello"})
    assert slept == [7]
    assert len(telegram.messages) == 1


def test_a_pause_of_an_hour_is_not_waited_for(hook, telegram, slept):
    telegram.answers = [refusal(429, "Too Many Requests: retry after 3600", retry_after=3600)]
    with pytest.raises(TransientError):
        hook.send_message({"text": "hello"})
    assert slept == []
    assert telegram.calls == 1


def test_a_wrong_token_is_not_tried_again_and_not_shown(telegram, slept, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(PermanentError) as caught:
        HeadraceTelegramHook(Target("999:wrong-token", telegram.chat_id, telegram.base_url)).send_message(
            {"text": "hello"}
        )
    assert telegram.calls == 1
    assert "wrong-token" not in str(caught.value)
    assert "wrong-token" not in caplog.text


def test_an_unknown_chat_is_not_tried_again(telegram):
    with pytest.raises(PermanentError, match="Chat not found"):
        HeadraceTelegramHook(Target(telegram.token, "42", telegram.base_url)).send_message({"text": "hello"})
    assert telegram.calls == 1


def test_markup_that_telegram_cannot_read_is_sent_as_plain_text_once(hook, telegram):
    hook.send_message({"text": "<blink>5 &lt; 6</blink>"})
    assert telegram.messages == [{"text": "5 < 6", "parse_mode": None, "chat_id": telegram.chat_id}]
    assert telegram.calls == 2


def test_a_group_that_became_a_supergroup_is_followed_once(telegram, slept):
    telegram.answers = [
        refusal(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-100200300)
    ]
    HeadraceTelegramHook(Target(telegram.token, "-5", telegram.base_url)).send_message({"text": "hello"})
    assert [message["chat_id"] for message in telegram.messages] == ["-100200300"]


def test_a_server_error_is_tried_five_times_with_growing_pauses(hook, telegram, slept):
    telegram.answers = [refusal(502, "Bad Gateway")] * 9
    with pytest.raises(TransientError, match="5 tries"):
        hook.send_message({"text": "hello"})
    assert telegram.calls == 5
    assert slept == [1, 2, 4, 8]


def test_a_server_that_recovers_gets_the_message_once(hook, telegram, slept):
    telegram.answers = [refusal(502, "Bad Gateway")]
    hook.send_message({"text": "hello"})
    assert [message["text"] for message in telegram.messages] == ["hello"]


def test_without_a_target_the_operator_is_skipped_and_names_both_places(no_target):
    operator = HeadraceTelegramOperator(task_id="notify", text="hello")
    with pytest.raises(AirflowSkipException, match=r"telegram_default.*BOT_TOKEN and CHAT_ID"):
        operator.execute({})


def test_a_token_without_a_chat_is_an_error_that_names_where_it_looked(no_target, monkeypatch):
    monkeypatch.setenv("BOT_TOKEN", "123:abc-secret")
    with pytest.raises(ConfigError, match=r"no chat id .*CHAT_ID") as caught:
        find_target("telegram_default")
    assert "abc-secret" not in str(caught.value)


def test_the_connection_wins_over_the_environment(no_target, monkeypatch):
    monkeypatch.setenv("BOT_TOKEN", "123:environment")
    monkeypatch.setenv("CHAT_ID", "1")
    connection = '{"conn_type": "telegram", "password": "456:c", "host": "2", "extra": {"base_url": "http://x/bot"}}'
    monkeypatch.setenv("AIRFLOW_CONN_TELEGRAM_DEFAULT", connection)
    assert find_target("telegram_default") == Target("456:c", "2", "http://x/bot")


def test_the_operator_fails_without_retries_where_telegram_refuses(no_target, monkeypatch, telegram):
    connection = f'{{"conn_type": "telegram", "password": "{telegram.token}", "host": "42",'
    monkeypatch.setenv(
        "AIRFLOW_CONN_TELEGRAM_DEFAULT", connection + f' "extra": {{"base_url": "{telegram.base_url}"}}}}'
    )
    with pytest.raises(AirflowFailException, match="Chat not found"):
        HeadraceTelegramOperator(task_id="notify", text="hello").execute({})
