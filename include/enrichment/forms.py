"""The form that starts a run over an uploaded CSV: the declared parameters, with what the DAG says of each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from include.common.errors import HeadraceError
from include.common.parameters import COUNT, SWITCH
from include.enrichment.parameters import NOT_AGAIN, PARAMETERS, PipelineParameter
from include.enrichment.templates import Template

# What may have fields, each of which is a column.
TEMPLATES = ("api_url", "output")
# What the page gives itself: the upload, and whether anything is called.
NOT_ASKED = ("source", *NOT_AGAIN)


@dataclass(frozen=True)
class Field:
    """A parameter as a person fills it in: its `text` ("on" for a switch that is on), and what is wrong with that.

    `default` is the text of the DAG's own value; `options` are all that it may be, where they are known.
    """

    parameter: PipelineParameter
    hint: str
    default: str = ""
    text: str = ""
    error: str = ""
    options: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """How it is asked for."""
        if self.options:
            return "choice"
        return {id(SWITCH): "switch", id(COUNT): "count"}.get(id(self.parameter.kind), "text")


@dataclass(frozen=True)
class Form:
    """The fields of a DAG's run."""

    dag_id: str
    fields: tuple[Field, ...]

    @property
    def sections(self) -> list[tuple[str, list[Field]]]:
        """The fields by section, in their order."""
        return [(section, list(its)) for section, its in groupby(self.fields, lambda field: field.parameter.section)]

    @property
    def has_errors(self) -> bool:
        """Whether something is wrong with a field."""
        return any(field.error for field in self.fields)

    def with_error(self, name: str, error: str) -> "Form":
        """The form with an error at one of its fields."""
        return self._with(name, error=error)

    def text(self, name: str) -> str:
        """What stands in a field; "" where there is none such."""
        return next((field.text for field in self.fields if field.parameter.name == name), "")

    def with_text(self, name: str, text: str) -> "Form":
        """The form with another text in one of its fields."""
        return self._with(name, text=text)

    def _with(self, name: str, **changes: Any) -> "Form":
        found = (replace(one, **changes) if one.parameter.name == name else one for one in self.fields)
        return replace(self, fields=tuple(found))

    def filled(self, given: Mapping[str, str]) -> "Form":
        """The form with the texts of `given`, and what is wrong with each."""
        columns = next((field.options for field in self.fields if field.parameter.name == "key"), ())
        return replace(self, fields=tuple(_filled(field, given, columns) for field in self.fields))

    def conf(self) -> dict[str, Any]:
        """The values that differ from the DAG's own, as a run is given them."""
        return {field.parameter.name: _value(field) for field in self.fields if field.text != field.default}


def make_form(
    dag_id: str, params: Mapping[str, Mapping[str, Any]], columns: tuple[str, ...], key: str | None, stem: str
) -> Form:
    """The form of a DAG for a file of these `columns`.

    `params` has the DAG's own value and description of each parameter, by name. The output has the file's own name
    (`stem`), so that it is not put in the place of what the schedule writes.
    """
    fields = []
    for parameter in PARAMETERS:
        if parameter.name in NOT_ASKED or parameter.name not in params:
            continue
        own = params[parameter.name]
        default = _text(own.get("value"))
        field = Field(parameter, str(own.get("description") or parameter.description), default, default)
        if parameter.name == "key":
            field = replace(field, options=columns, text=key if key in columns else columns[0])
        if parameter.name == "output" and not Template("output", default).columns:
            field = replace(field, text=str(PurePosixPath("results") / f"{stem}.json"))
        fields.append(field)
    return Form(dag_id, tuple(fields))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else ""
    return "" if value is None else str(value)


def _filled(field: Field, given: Mapping[str, str], columns: tuple[str, ...]) -> Field:
    # A switch that is off is not sent.
    text = given.get(field.parameter.name, "" if field.kind == "switch" else field.text)
    text = text if field.kind == "choice" else text.strip()
    field = replace(field, text=text, error="")
    if field.options and text not in field.options:
        return replace(field, error=f"{field.parameter.title} is `{text}`, which is no column of this file")
    if not text and field.kind != "switch" and not field.parameter.empty:
        return replace(field, error=f"{field.parameter.title} is empty")
    try:
        _value(field)
        if field.parameter.name in TEMPLATES and "{" in text:
            Template(field.parameter.title, text).check_columns(columns)
    except HeadraceError as error:
        return replace(field, error=str(error))
    return field


def _value(field: Field) -> Any:
    if field.kind == "switch":
        return field.text == "on"
    return field.parameter.kind.read(field.parameter.title, field.text) if field.text else None
