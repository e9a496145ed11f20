"""The tables of the limits: how often an API may be called, how many calls a run took, who calls, who could."""

import hashlib

from sqlalchemy import BigInteger, Boolean, Float, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from include.common.database import NAMING_CONVENTION

KEY_LENGTH = 250


class Base(DeclarativeBase):
    """The tables of `include.common`."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class RateLimit(Base):
    """Times are seconds since the epoch: the theoretical arrival of the next call, the end of a pause (0: none)."""

    __tablename__ = "rate_limits"

    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    next_at: Mapped[float] = mapped_column(Float(53))
    paused_until: Mapped[float] = mapped_column(Float(53), server_default="0")


class Budget(Base):
    """How many calls were taken under a key."""

    __tablename__ = "budgets"

    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    used: Mapped[int] = mapped_column(BigInteger)


class HeldLease(Base):
    """Which try holds a key, and until when (seconds since the epoch); one that does not call yet waits for another."""

    __tablename__ = "leases"

    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    holder: Mapped[str] = mapped_column(String(KEY_LENGTH))
    calling: Mapped[bool] = mapped_column(Boolean)
    until: Mapped[float] = mapped_column(Float(53))


class PresentWorker(Base):
    """A machine's worker of tasks, and until when it counts as present (seconds since the epoch)."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    until: Mapped[float] = mapped_column(Float(53))


class ImportedPool(Base):
    """What the pools' file said of a pool when Airflow's was last set to it."""

    __tablename__ = "imported_pools"

    name: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    definition: Mapped[str] = mapped_column(Text)


def stored(key: str) -> str:
    """`key` as its column holds it: one that is longer is cut, and ends in the SHA-256 of the whole."""
    if len(key) <= KEY_LENGTH:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: KEY_LENGTH - len(digest) - 1]} {digest}"
