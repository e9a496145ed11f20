"""The tables of the CSV pipelines: each run's counts, and totals over all runs."""

from sqlalchemy import BigInteger, Boolean, Float, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from include.common.database import NAMING_CONVENTION
from include.common.limits.models import KEY_LENGTH

STATE_LENGTH = 20


class Base(DeclarativeBase):
    """The tables of the CSV pipelines."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class CsvRun(Base):
    """A run as it was told last; `began` and `ended_at` are in seconds since the epoch."""

    __tablename__ = "csv_runs"

    dag_id: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    state: Mapped[str] = mapped_column(String(STATE_LENGTH))
    rows: Mapped[int] = mapped_column(BigInteger)
    ok: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    skipped: Mapped[int] = mapped_column(BigInteger)
    calls: Mapped[int] = mapped_column(BigInteger)
    retries: Mapped[int] = mapped_column(BigInteger)
    waited: Mapped[float] = mapped_column(Float(53))
    seconds: Mapped[float] = mapped_column(Float(53))
    files: Mapped[int] = mapped_column(BigInteger)
    partial: Mapped[bool] = mapped_column(Boolean)
    began: Mapped[float] = mapped_column(Float(53))
    ended_at: Mapped[float] = mapped_column(Float(53))


class CsvTotal(Base):
    """What all runs of a DAG that ended in a state came to, and how long and until when the last of them took."""

    __tablename__ = "csv_totals"

    dag_id: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    state: Mapped[str] = mapped_column(String(STATE_LENGTH), primary_key=True)
    runs: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float] = mapped_column(Float(53))
    ok: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    skipped: Mapped[int] = mapped_column(BigInteger)
    calls: Mapped[int] = mapped_column(BigInteger)
    retries: Mapped[int] = mapped_column(BigInteger)
    waited: Mapped[float] = mapped_column(Float(53))
    last_seconds: Mapped[float] = mapped_column(Float(53))
    last_ended_at: Mapped[float] = mapped_column(Float(53))
