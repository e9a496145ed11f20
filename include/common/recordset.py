"""Many rows as one value of a statement: JSON that the database reads as a table.

A statement for a thousand rows is then prepared once, whatever their number, on SQLite and on Postgres alike.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import orjson
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
    fields = [_extracted(each_row.c.value, column, type_) for column, type_ in types.items()]
    return sqlalchemy.select(*fields).select_from(each_row).subquery(name)


def rows(values: Iterable[Mapping[str, Any]]) -> str:
    """The parameter of a `recordset`: numbers, texts, truths, None, UUIDs and what is JSON itself."""
    return orjson.dumps([dict(each) for each in values], default=_told).decode()


def _told(value: Any) -> str:
    if isinstance(value, UUID):  # of a class of somebody's own
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be a value of a recordset")


def _extracted(value: sqlalchemy.ColumnElement[Any], column: str, type_: Any) -> sqlalchemy.ColumnElement[Any]:
    found = sqlalchemy.func.json_extract(value, f"$.{column}")
    if isinstance(type_, sqlalchemy.Uuid):  # SQLite keeps it without dashes
        found = sqlalchemy.func.replace(found, "-", "")
    return sqlalchemy.type_coerce(found, type_).label(column)
