"""What an error of the application database means to whoever asked, by SQLite's result code or Postgres's SQLSTATE."""

import re

import sqlalchemy

from include.common.errors import ConfigError, ConflictError, HeadraceError, PermanentError, TransientError

_MISSING, _REFUSED, _CONFLICT, _PASSING = "missing", "refused", "conflict", "passing"
# https://www.postgresql.org/docs/current/errcodes-appendix.html; five characters a state, two a whole class.
_POSTGRES = {
    "42P01": _MISSING,  # undefined_table
    "42703": _MISSING,  # undefined_column
    "23": _CONFLICT,
    "28": _REFUSED,  # invalid authorization
    "3D": _REFUSED,  # no such database
    "42501": _REFUSED,  # insufficient_privilege
    "08": _PASSING,  # connection exceptions
    "40": _PASSING,  # serialization failure, deadlock
    "53": _PASSING,  # too many connections, disk full, out of memory
    "55P03": _PASSING,  # lock_not_available
    "57014": _PASSING,  # a statement that was cancelled, as by statement_timeout
    "57P": _PASSING,  # shut down, crashed, starting up
    "58": _PASSING,  # errors of its operating system
    "25006": _PASSING,  # read-only: a server that is not, or no longer, the primary
    "25P03": _PASSING,  # idle_in_transaction_session_timeout
}
# https://www.sqlite.org/rescode.html, the primary codes.
_SQLITE = {
    3: _REFUSED,  # PERM
    5: _PASSING,  # BUSY
    6: _PASSING,  # LOCKED
    8: _REFUSED,  # READONLY
    10: _PASSING,  # IOERR
    13: _PASSING,  # FULL
    14: _REFUSED,  # CANTOPEN
    15: _PASSING,  # PROTOCOL: several begin to use the file at once
    19: _CONFLICT,
    23: _REFUSED,  # AUTH
    26: _REFUSED,  # NOTADB
}
_SQLITE_MISSING = re.compile(r"no such (table|column)|has no column named")
# A refused connection has no SQLSTATE, only what libpq says. In another language than English it counts as lost.
_LOGIN_REFUSED = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|permission denied for database|not permitted to log in"
    r'|FATAL: +(database|role) ".*" does not exist'
)
_CONSTRAINTS = {"23502": "NOT NULL", "23503": "FOREIGN KEY", "23505": "UNIQUE", "23514": "CHECK"}


def by_kind(error: sqlalchemy.exc.DBAPIError | sqlalchemy.exc.TimeoutError, purpose: str) -> HeadraceError:
    """The error to raise instead of `error`, which came up for `purpose` ("the rate limit `csv_api`").

    A `ConflictError` names the constraint; a `ConfigError` says what is missing or refused; a `TransientError` is a
    lost connection, a lock, a full disk; a `PermanentError` is all else. None shows a statement, value or secret.
    """
    fails = f"the application database cannot be used for {purpose}:"
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return TransientError(f"{fails} all connections of this process are in use")
    what = str(error.orig).strip().partition("\n")[0]  # Postgres appends the statement
    match _kind(error):
        case "conflict":
            return ConflictError(f"the application database refuses {purpose}: {_constraint(error.orig)}")
        case "missing":
            return ConfigError(
                f"{fails} {what} (`make migrate` makes what is missing; looked in HEADRACE_DATABASE_URL)"
            )
        case "refused":
            return ConfigError(f"{fails} {what} (looked in HEADRACE_DATABASE_URL)")
        case "passing":
            return TransientError(f"{fails} {what} (looked in HEADRACE_DATABASE_URL)")
    return PermanentError(f"{fails} {_name(error.orig)}")  # what it says may show values


def _kind(error: sqlalchemy.exc.DBAPIError) -> str | None:
    found, text = error.orig, str(error.orig)
    if code := getattr(found, "sqlite_errorcode", None):
        return _MISSING if _SQLITE_MISSING.search(text) else _SQLITE.get(code & 0xFF)
    if state := getattr(found, "pgcode", None):
        return next((kind for length in (5, 3, 2) if (kind := _POSTGRES.get(state[:length]))), None)
    if _LOGIN_REFUSED.search(text):
        return _REFUSED
    lost = isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError)
    return _PASSING if lost or error.connection_invalidated else None


def _constraint(found: BaseException | None) -> str:
    """Which constraint is broken: by its name on Postgres, on SQLite by its columns; without the values."""
    diagnostics = getattr(found, "diag", None)
    if diagnostics is None:
        kind, _, name = str(found).partition(" constraint failed")
        name = name.removeprefix(": ")
    else:
        kind = _CONSTRAINTS.get(getattr(found, "pgcode", ""), "")
        name = diagnostics.constraint_name or f"{diagnostics.table_name}.{diagnostics.column_name}"
    return f"{kind} constraint {f'`{name}`' if name else ''}".strip()


def _name(found: BaseException | None) -> str:
    code = getattr(found, "pgcode", None) or getattr(found, "sqlite_errorname", None)
    return type(found).__name__ + (f" ({code})" if code else "")
