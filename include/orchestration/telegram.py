"""Telegram for Airflow: the provider's hook and operator, with the address, retries and text handled as the API needs.

The target is the connection (password: the bot's token, host: the chat's id, extra: `{"base_url": …}`), else the
environment variables `BOT_TOKEN` and `CHAT_ID`.
"""

import asyncio
import datetime
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import telegram
import tenacity
from airflow.providers.telegram.hooks.telegram import TelegramHook
from airflow.providers.telegram.operators.telegram import TelegramOperator
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException
from airflow.sdk.log import mask_secret
from telegram.request import HTTPXRequest

from include.common.errors import ConfigError, HeadraceError, PermanentError, TransientError
from include.common.telegram import plain, split

TRIES = 5
# Seconds before the tries after a network error: 1, 2, 4, 8.
BACKOFF = tenacity.wait_exponential()
# Seconds: the longest pause of the API that is waited for, and that before a message sent again as Telegram wants it.
LONGEST_PAUSE = 300.0
AT_ONCE = 0.0


@dataclass(frozen=True)
class Target:
    """Which bot writes to which chat; `base_url` None is Telegram's own."""

    token: str = field(repr=False)
    chat_id: str
    base_url: str | None = None


def find_target(connection_id: str) -> Target | None:
    """The target of a connection or the environment, None where neither is set; `ConfigError` where half is."""
    base_url = None
    try:
        connection = Connection.get(connection_id)
        token, chat_id = connection.password, connection.host
        base_url = connection.extra_dejson.get("base_url")
        place = f"connection `{connection_id}`: password (the token) and host (the chat's id)"
    except AirflowNotFoundException:
        token, chat_id = os.environ.get("BOT_TOKEN", "").strip(), os.environ.get("CHAT_ID", "").strip()
        place = "the environment: BOT_TOKEN and CHAT_ID"
        if not token and not chat_id:
            return None
    if not token or not chat_id:
        raise ConfigError(f"Telegram has no {'chat id' if token else 'token'} (looked in {place})")
    mask_secret(token)
    return Target(token, chat_id, base_url)


class HeadraceTelegramHook(TelegramHook):
    """Sends a text of any length to one chat. `sleep` takes seconds."""

    def __init__(self, target: Target, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._target = target
        self._sleep = sleep
        # These log each URL (httpx at INFO, the others at DEBUG), and the token is part of it.
        for name in ("httpx", "httpcore", "telegram"):
            logging.getLogger(name).setLevel(logging.WARNING)
        super().__init__(telegram_conn_id=None, token=target.token, chat_id=target.chat_id)

    def get_conn(self) -> telegram.Bot:
        """The bot at the target's address."""
        self._request = HTTPXRequest(connect_timeout=10, read_timeout=20, write_timeout=20)
        if not self._target.base_url:
            return telegram.Bot(self._target.token, request=self._request)
        base_url = self._target.base_url.rstrip("/").removesuffix("/bot") + "/bot"
        return telegram.Bot(self._target.token, base_url=base_url, request=self._request)

    def send_message(self, api_params: dict[str, Any]) -> None:  # type: ignore[override]  # not retried blindly
        """Send `api_params["text"]`, HTML unless `parse_mode` says otherwise, in as many messages as it needs.

        Raises `PermanentError` for what Telegram refuses, `TransientError` when the tries are used up.
        """
        asyncio.run(self._send_all(dict(api_params)))

    async def _send_all(self, parameters: dict[str, Any]) -> None:
        text = parameters.pop("text")
        await self._request.initialize()
        try:
            for piece in split(text):
                await self._send(
                    {"parse_mode": "HTML", "disable_web_page_preview": True, "chat_id": self.chat_id}
                    | parameters
                    | {"text": piece}
                )
        finally:
            await self._request.shutdown()

    async def _send(self, message: dict[str, Any]) -> None:
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_worth_waiting_for),
            stop=tenacity.stop_after_attempt(TRIES),
            wait=_pause,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            await tries(self._try, message)
        except TransientError as error:
            number = tries.statistics["attempt_number"]
            raise TransientError(f"Telegram did not take the message in {number} tries: {error}") from None

    async def _try(self, message: dict[str, Any]) -> None:
        """Send once; `message` is changed to what Telegram takes, where it says that it would take that."""
        try:
            await self.connection.send_message(**message)
        except telegram.error.RetryAfter as error:
            raise TransientError(self._clean(error), _seconds(error.retry_after)) from None
        except telegram.error.ChatMigrated as error:
            if message["chat_id"] == str(error.new_chat_id):
                raise PermanentError(self._clean(error)) from None
            self.chat_id = message["chat_id"] = str(error.new_chat_id)
            self.log.info("the group became a supergroup: set the chat id to %s", error.new_chat_id)
            raise TransientError(self._clean(error), AT_ONCE) from None
        except telegram.error.BadRequest as error:
            if "parse entities" not in str(error) or not message["parse_mode"]:
                raise PermanentError(f"Telegram refuses the message: {self._clean(error)}") from None
            self.log.warning("Telegram cannot read the markup (%s): sent as plain text", self._clean(error))
            message |= {"parse_mode": None, "text": plain(message["text"])}
            raise TransientError(self._clean(error), AT_ONCE) from None
        except telegram.error.NetworkError as error:
            raise TransientError(self._clean(error)) from None
        except telegram.error.TelegramError as error:
            raise PermanentError(f"Telegram refuses: {self._clean(error)}") from None

    def _clean(self, error: Exception) -> str:
        return str(error).replace(self._target.token, "***")


def _seconds(value: int | float | datetime.timedelta) -> float:
    return value.total_seconds() if isinstance(value, datetime.timedelta) else float(value)


def _worth_waiting_for(error: BaseException) -> bool:
    return isinstance(error, TransientError) and (error.retry_after or 0.0) <= LONGEST_PAUSE


def _pause(tries: tenacity.RetryCallState) -> float:
    """Seconds before the next try: as long as Telegram asks for, where it does."""
    error = tries.outcome.exception() if tries.outcome else None
    asked = error.retry_after if isinstance(error, TransientError) else None
    return BACKOFF(tries) if asked is None else asked


class HeadraceTelegramOperator(TelegramOperator):
    """`TelegramOperator` over `HeadraceTelegramHook`; skipped where no target is set."""

    def execute(self, context: Any) -> None:
        """Send the text."""
        try:
            target = find_target(self.telegram_conn_id)
            if target is None:
                raise AirflowSkipException(
                    f"nobody is told: no connection `{self.telegram_conn_id}`, and BOT_TOKEN and CHAT_ID are not set"
                )
            HeadraceTelegramHook(target).send_message({**self.telegram_kwargs, "text": self.text})
        except HeadraceError as error:
            failure = AirflowFailException(str(error))
        else:
            return
        raise failure
