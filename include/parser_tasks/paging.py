"""Lists a page at a time, by the last row of the page before: a page far down costs no more than the first."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

import sqlalchemy

from include.common.errors import BadInputError, quoted

Row = TypeVar("Row")
# Rows that are counted; beyond it is said that there are more.
COUNTED = 10_000
MOST_ROWS = 1000


@dataclass(frozen=True)
class Asked:
    """Which page: `size` rows behind the one that the cursor `after` names, in the order `sort` (`-`: descending)."""

    size: int = 100
    after: str = ""
    sort: str = ""


FIRST_PAGE = Asked()


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows; `after` is the cursor of the next page, "" where this is the last.

    `total` counts all rows of the list, up to `COUNTED`; `is_more` says that there are more than that.
    """

    rows: tuple[Row, ...]
    after: str = ""
    total: int = 0
    is_more: bool = False


@dataclass(frozen=True)
class Order:
    """How a list is sorted, and where the page begins; `column` and the unique `key` may be the same."""

    sort: str
    column: sqlalchemy.ColumnElement[Any]
    key: sqlalchemy.ColumnElement[Any]
    begins: tuple[Any, Any] | None = None

    def applied(self, statement: sqlalchemy.Select[Any], most: int) -> sqlalchemy.Select[Any]:
        """At most `most` rows of the statement, from where the page begins."""
        columns = [self.key] if self.column is self.key else [self.column, self.key]
        if self.begins:
            here = sqlalchemy.tuple_(*columns)
            there = sqlalchemy.tuple_(
                *(sqlalchemy.literal(v, c.type) for v, c in zip(self._last(), columns, strict=True))
            )
            statement = statement.where(here < there if self.descends else here > there)
        return statement.order_by(*(c.desc() if self.descends else c for c in columns)).limit(most)

    def _last(self) -> tuple[Any, ...]:
        assert self.begins
        return self.begins[-1:] if self.column is self.key else self.begins

    @property
    def descends(self) -> bool:
        """Whether the largest come first."""
        return self.sort.startswith("-")


def order(asked: Asked, columns: Mapping[str, sqlalchemy.ColumnElement[Any]], default: str, key: str = "id") -> Order:
    """The order that is asked for; raises `BadInputError` for one that there is not, or a cursor of another list."""
    sort = asked.sort or default
    column = columns.get(sort.removeprefix("-"))
    if column is None:
        raise BadInputError(
            f"sort is `{sort[:40]}`; allowed are {quoted(tuple(columns))}, each with `-` for descending"
        )
    order = Order(sort, column, columns[key])
    return Order(sort, column, columns[key], _begins(asked.after, order)) if asked.after else order


def page(rows: Sequence[Any], asked: Asked, order: Order, total: int) -> Page[Any]:
    """The page of `rows`, of which one more was read than it shows; these name their columns as attributes."""
    shown = tuple(rows[: asked.size])
    after = ""
    if len(rows) > asked.size:
        value, key = (getattr(shown[-1], each) for each in (order.sort.removeprefix("-"), order.key.key or "id"))
        after = cursor(order.sort, value, key)
    return Page(shown, after, min(total, COUNTED), total > COUNTED)


def counted(connection: sqlalchemy.Connection, *chosen: sqlalchemy.Select[Any]) -> int:
    """How many rows these have, one more than `COUNTED` at most."""
    total = 0
    for each in chosen:
        some = each.with_only_columns(sqlalchemy.literal(1).label("one"), maintain_column_froms=True)
        some_rows = some.limit(COUNTED + 1 - total).subquery()
        total += connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(some_rows)) or 0
        if total > COUNTED:
            break
    return total


def cursor(sort: str, value: Any, key: Any) -> str:
    """What names the row with these values of the sorted column and the key, in the order `sort`."""
    text = json.dumps([sort, *(str(each) if isinstance(each, UUID) else each for each in (value, key))])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _begins(after: str, order: Order) -> tuple[Any, Any]:
    try:
        sort, value, key = json.loads(base64.b64decode(after + "=" * (-len(after) % 4), b"-_", validate=True))
        if sort != order.sort:
            raise ValueError
        return _typed(value, order.column), _typed(key, order.key)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadInputError("`after` is no cursor of this list in this order; take it from the page before") from error


def _typed(value: Any, column: sqlalchemy.ColumnElement[Any]) -> Any:
    kind = column.type.python_type
    if kind is UUID:
        return UUID(str(value))
    if kind is float and type(value) in (int, float):
        return float(value)
    if type(value) is not kind or (kind is int and not -(2**63) <= value < 2**63):
        raise ValueError
    if kind is str and not value.isprintable():  # names are: a NUL or half a surrogate pair breaks a statement
        raise ValueError
    return value
