"""Which keys were seen: exact, and in memory that does not grow with them."""

import sqlite3


class SeenKeys:
    """Keys with where each was first seen, in a private temporary file. Use as a context manager."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # "" is a private file that SQLite deletes itself

    def __enter__(self) -> "SeenKeys":
        self._database.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, place INTEGER) WITHOUT ROWID")
        self._database.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def note(self, key: str, place: int) -> int | None:
        """The place where `key` was seen before; None where it is new, and `place` is its first."""
        text = key.encode("utf-8", "surrogatepass")  # half a surrogate pair is no text to SQLite
        if self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (text, place)).rowcount:
            return None
        return int(self._database.execute("SELECT place FROM seen WHERE key = ?", (text,)).fetchone()[0])
