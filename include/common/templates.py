"""Templates over the columns of a row: `/items/{id}`, and JSON bodies made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from include.common.errors import ConfigError

Quote = Callable[[str], str]


def _as_is(value: str) -> str:
    return value


@dataclass(frozen=True)
class Template:
    """Text with `{column}` fields; `{{` and `}}` stand for the braces themselves.

    `name` says where the template comes from ("request.path"), for messages; `shown` stands there for the text.
    Raises `ConfigError` for text that is no template.
    """

    name: str
    text: str
    shown: str | None = None
    parts: tuple[tuple[str, str | None], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        allowed = "allowed is text with fields such as {id}, and {{ or }} for a brace itself"
        try:
            parsed = list(Formatter().parse(self.text))
        except ValueError as error:
            raise ConfigError(f"{self.name} is `{self.said}`: {error}; {allowed}") from error
        for _, column, format_spec, conversion in parsed:
            if column is not None and (not column.strip() or format_spec or conversion):
                raise ConfigError(f"{self.name} is `{self.said}`: a field is the bare name of a column; {allowed}")
        parts = tuple((literal, column and column.strip()) for literal, column, _, _ in parsed)
        object.__setattr__(self, "parts", parts)

    @property
    def said(self) -> str:
        """The template as messages show it."""
        return self.text if self.shown is None else self.shown

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the template reads, in order of appearance."""
        return tuple(dict.fromkeys(column for _, column in self.parts if column))

    def render(self, row: Mapping[str, str], quote: Quote = _as_is) -> str:
        """Fill in the row's values, each passed through `quote`."""
        return "".join(literal + (quote(row[column]) if column else "") for literal, column in self.parts)

    def check_columns(self, columns: tuple[str, ...]) -> None:
        """Raise `ConfigError` where the template reads a column that is not among `columns`."""
        for column in self.columns:
            if column not in columns:
                raise ConfigError(
                    f"{self.name} is `{self.said}`: no column `{column}`; the columns found are {quoted(columns)}"
                )


def quoted(names: tuple[str, ...]) -> str:
    """Names for a message: `a`, `b`, `c`; a long list is cut with its length."""
    shown = ", ".join(f"`{name}`" for name in names[:20])
    return shown if len(names) <= 20 else f"{shown}, … ({len(names)} in all)"


def templates_in(name: str, value: Any) -> list[Template]:
    """Every template in a JSON-like value, for checks before a call is made."""
    if isinstance(value, str):
        return [Template(name, value)]
    if isinstance(value, Mapping):
        return [found for key, item in value.items() for found in templates_in(f"{name}.{key}", item)]
    if isinstance(value, list | tuple):
        return [found for index, item in enumerate(value) for found in templates_in(f"{name}[{index}]", item)]
    return []


def render_json(name: str, value: Any, row: Mapping[str, str]) -> Any:
    """A JSON-like value with every string in it rendered; keys and other values stay as they are."""
    if isinstance(value, str):
        return Template(name, value).render(row)
    if isinstance(value, Mapping):
        return {key: render_json(name, item, row) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render_json(name, item, row) for item in value]
    return value
