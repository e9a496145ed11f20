"""Many rows as one value of a statement: JSON that the database reads as a table.

A statement for a thousand rows is then prepared once, whatever their number, on SQLite and on Postgres alike.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy.sql.type_api import TypeEngine

Types = Mapping[str, TypeEngine[Any] | type[TypeEngine[Any]]]


def recordset(dialect: str, name: str, types: Types) -> sqlalchemy.FromClause:
    """A table called `name`, of columns with these types; its rows are the parameter `name`, made by `rows`."""
    given = sqlalchemy.bindparam(name, type_=sqlalchemy.Text)
    if dialect == "postgresql":
        columns = [sqlalchemy.column(each, type_) for each, type_ in types.items()]
        read = sqlalchemy.func.json_to_recordset(sqlalchemy.cast(given, sqlalchemy.JSON))
        return read.table_valued(*columns, name=name).render_derived(with_types=True)
    each_row = sqlalchemy.func.json_each(given).table_valued("value", name=f"{name}_rows")
    fields = [
        sqlalchemy.type_coerce(sqlalchemy.func.json_extract(each_row.c.value, f"$.{column}"), type_).label(column)
        for column, type_ in types.items()
    ]
    return sqlalchemy.select(*fields).select_from(each_row).subquery(name)


def rows(values: Iterable[Mapping[str, Any]]) -> str:
    """The parameter of a `recordset`: numbers, texts, truths, None, UUIDs and what is JSON itself."""
    return json.dumps([dict(each) for each in values], default=_told, allow_nan=False)


def _told(value: Any) -> str:
    if isinstance(value, UUID):
        return value.hex  # as SQLite keeps it
    raise TypeError(f"{type(value).__name__} cannot be a value of a recordset")
