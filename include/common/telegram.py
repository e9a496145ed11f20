"""Text for the Telegram Bot API: escaping and splitting, as its documentation of `sendMessage` says.

A message holds 1 to 4096 characters after entity parsing, counted in UTF-16 code units; in HTML mode only
`<`, `>` and `&` are escaped.
"""

import html
import re
from collections.abc import Iterator

MESSAGE_LIMIT = 4096
_TOKEN = re.compile(r"</?[a-z][^<>]*>|&(?:#[0-9]+|#x[0-9a-fA-F]+|[a-z]+);|[^<&]+|[<&]", re.IGNORECASE)
_TAG = re.compile(r"<(/?)[a-z][^<>]*>", re.IGNORECASE)


def escape(text: str) -> str:
    """Text made safe for HTML mode."""
    return html.escape(text, quote=False)


def plain(markup: str) -> str:
    """The text of HTML markup, for when the API refuses the markup."""
    return html.unescape(re.sub(r"</?[a-z][^<>]*>", "", markup, flags=re.IGNORECASE))


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text) + sum(character > "\uffff" for character in text)


def split(markup: str, limit: int = MESSAGE_LIMIT) -> list[str]:
    """Cut HTML markup into messages of at most `limit` UTF-16 units each, every one valid by itself.

    Cuts at line ends where it can, never inside a tag, an entity or a surrogate pair; tags open at a cut are
    closed before it and opened again after it. The markup's own length is counted, so that a piece also
    fits when it is sent as plain text. A tag with its end must be shorter than `limit`.
    """
    pieces = _Pieces(limit)
    for line in _lines(markup):
        if not pieces.fits(line):
            pieces.cut()
        for token in line:
            pieces.put(token)
    pieces.cut()
    return pieces.done


def _lines(markup: str) -> Iterator[list[str]]:
    """The tokens of each line; a tag that runs over a line's end belongs to the line that it begins in."""
    line: list[str] = []
    for token in (match.group(0) for match in _TOKEN.finditer(markup)):
        for part in [token] if _TAG.fullmatch(token) else re.split(r"(?<=\n)", token):
            line.append(part)
            if part.endswith("\n"):
                yield line
                line = []
    yield line


class _Pieces:
    """The messages finished so far, the one under way, and the tags open in it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.done: list[str] = []
        self.open_tags: list[str] = []
        self.start = ""
        self.text = ""

    def room(self) -> int:
        return self.limit - units(self.start + self.text + _closing(self.open_tags))

    def fits(self, tokens: list[str]) -> bool:
        return units("".join(tokens)) + sum(units(_closing([tag])) for tag in tokens if _opens(tag)) <= self.room()

    def put(self, token: str) -> None:
        tag = _TAG.fullmatch(token)
        if tag and tag.group(1):
            self.open_tags = self.open_tags[:-1]
            self.text += token
            return
        if tag:
            if not self.fits([token]):
                self.cut()
            self.text += token
            self.open_tags = [*self.open_tags, token]
            return
        if token.startswith("&") and not self.fits([token]):
            self.cut()
        while units(token) > self.room():
            head = _head(token, self.room()) or ("" if self.text else token[0])
            self.text += head
            token = token[len(head) :]
            self.cut()
        self.text += token

    def cut(self) -> None:
        if plain(self.text).strip():
            self.done.append(self.start + self.text.rstrip("\n") + _closing(self.open_tags))
        self.start = "".join(self.open_tags)
        self.text = ""


def _opens(token: str) -> bool:
    tag = _TAG.fullmatch(token)
    return bool(tag and not tag.group(1))


def _closing(tags: list[str]) -> str:
    return "".join(f"</{tag[1:-1].split()[0]}>" for tag in reversed(tags))


def _head(text: str, room: int) -> str:
    """The longest start of `text` of at most `room` units; a surrogate pair counts two and stays whole."""
    taken = 0
    for index, character in enumerate(text):
        taken += units(character)
        if taken > room:
            return text[:index]
    return text
