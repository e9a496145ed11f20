"""Templates over the columns of a row: `/items/{id}`, and JSON bodies made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from include.common.errors import ConfigError, quoted

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
    # Taken apart once, for a template is rendered for every row: the text with `%s` for each field, and their columns.
    _form: str = field(init=False, repr=False, compare=False)
    _fields: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        allowed = "allowed is text with fields such as {id}, and {{ or }} for a brace itself"
        try:
            parsed = list(Formatter().parse(self.text))
        except ValueError as error:
            raise ConfigError(f"{self.name} is `{self.said}`: {error}; {allowed}") from error
        for _, column, format_spec, conversion in parsed:
            if column is not None and (not column.strip() or format_spec or conversion):
                raise ConfigError(f"{self.name} is `{self.said}`: a field is the bare name of a column; {allowed}")
        form = "".join(literal.replace("%", "%%") + ("%s" if column else "") for literal, column, _, _ in parsed)
        object.__setattr__(self, "_form", form)
        object.__setattr__(self, "_fields", tuple(column.strip() for _, column, _, _ in parsed if column))

    @property
    def said(self) -> str:
        """The template as messages show it."""
        return self.text if self.shown is None else self.shown

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the template reads, in order of appearance."""
        return tuple(dict.fromkeys(self._fields))

    def render(self, row: Mapping[str, str], quote: Quote = _as_is) -> str:
        """Fill in the row's values, each passed through `quote`."""
        return self._form % tuple([quote(row[column]) for column in self._fields])

    def check_columns(self, columns: tuple[str, ...]) -> None:
        """Raise `ConfigError` where the template reads a column that is not among `columns`."""
        for column in self.columns:
            if column not in columns:
                raise ConfigError(
                    f"{self.name} is `{self.said}`: no column `{column}`; the columns found are {quoted(columns)}"
                )


def templates_in(name: str, value: Any) -> list[Template]:
    """Every template in a JSON-like value, for checks before a call is made."""
    if isinstance(value, str):
        return [Template(name, value)]
    if isinstance(value, Mapping):
        return [found for key, item in value.items() for found in templates_in(f"{name}.{key}", item)]
    if isinstance(value, list | tuple):
        return [found for index, item in enumerate(value) for found in templates_in(f"{name}[{index}]", item)]
    return []


@dataclass(frozen=True)
class JsonTemplate:
    """A JSON-like value in which every text is a template; keys and other values stay as they are.

    `name` is as a `Template`'s. Raises `ConfigError` for a text that is no template.
    """

    name: str
    value: Any
    _compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", self._compile(self.value))

    def _compile(self, value: Any) -> Any:
        if isinstance(value, str):
            return Template(self.name, value)
        if isinstance(value, Mapping):
            return {key: self._compile(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._compile(item) for item in value]
        return value

    def render(self, row: Mapping[str, str]) -> Any:
        """The value with the row's values filled in, made of new dicts and lists."""
        return _filled(self._compiled, row)


def _filled(compiled: Any, row: Mapping[str, str]) -> Any:
    if isinstance(compiled, Template):
        return compiled.render(row)
    if isinstance(compiled, dict):
        return {key: _filled(item, row) for key, item in compiled.items()}
    if isinstance(compiled, list):
        return [_filled(item, row) for item in compiled]
    return compiled
