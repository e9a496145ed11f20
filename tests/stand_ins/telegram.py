"""A stand-in for the Telegram Bot API: checks what Telegram checks, answers as Telegram answers."""

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from aiohttp import web

from tests.stand_ins.serving import serving

ALLOWED_TAGS = {"b", "i", "u", "s", "a", "code", "pre", "blockquote"}


class _Markup(HTMLParser):
    """Raises ValueError where Telegram would say that it can't parse the entities; collects the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED_TAGS:
            raise ValueError(f'Unsupported start tag "{tag}"')
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise ValueError(f'Unexpected end tag "{tag}"')

    def handle_data(self, data: str) -> None:
        self.text += data


def text_of(markup: str) -> str:
    """The text of HTML as Telegram reads it; ValueError where it cannot."""
    parser = _Markup()
    parser.feed(markup)
    parser.close()
    if parser.open or "<" in parser.text.replace("< ", ""):
        raise ValueError(f"Can't find end tag corresponding to start tag {parser.open}")
    return parser.text


@dataclass
class TelegramStandIn:
    """Serves `/bot<token>/sendMessage` on a loopback port. Use as a context manager.

    `answers` are given before the stand-in starts to judge for itself: each a status and a body.
    """

    token: str = "123456:a-secret-token"
    chat_id: str = "-100200300"
    messages: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    calls: int = 0

    @property
    def connection(self) -> str:
        """The Airflow connection that leads here, as an environment variable holds it."""
        extra = {"base_url": self.base_url}
        return json.dumps({"conn_type": "telegram", "password": self.token, "host": self.chat_id, "extra": extra})

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/bot"

    def __enter__(self) -> "TelegramStandIn":
        app = web.Application()
        app.router.add_post("/{bot}/{method}", self._answer)
        self._served = ExitStack()
        self.port = self._served.enter_context(serving(app))
        return self

    def __exit__(self, *_: object) -> None:
        self._served.close()

    async def _answer(self, request: web.Request) -> web.Response:
        self.calls += 1
        if self.answers:
            status, body = self.answers.pop(0)
            return _json(status, body)
        if request.match_info["bot"] != f"bot{self.token}":
            return _refusal(404, "Not Found")
        form = {**await request.post()} if request.content_type != "application/json" else await request.json()
        if str(form.get("chat_id")) != self.chat_id:
            return _refusal(400, "Bad Request: chat not found")
        text = str(form.get("text", ""))
        if form.get("parse_mode") == "HTML":
            try:
                text = text_of(text)
            except ValueError as error:
                return _refusal(400, f"Bad Request: can't parse entities: {error}")
        length = len(text.encode("utf-16-le")) // 2
        if not text.strip():
            return _refusal(400, "Bad Request: message text is empty")
        if length > 4096:
            return _refusal(400, "Bad Request: message is too long")
        self.messages.append({"text": text, "parse_mode": form.get("parse_mode"), "chat_id": form["chat_id"]})
        chat = {"id": int(self.chat_id), "type": "group", "title": "t"}
        return _json(200, {"ok": True, "result": {"message_id": self.calls, "date": 1, "chat": chat, "text": text}})


def _refusal(status: int, description: str) -> web.Response:
    return _json(status, {"ok": False, "error_code": status, "description": description})


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")
