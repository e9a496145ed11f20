"""`include/toys/models.py` of the system that a test adds: two tables, one with a foreign key."""

from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from include.common.database import NAMING_CONVENTION


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Box(Base):
    __tablename__ = "toy_boxes"

    id: Mapped[int] = mapped_column(primary_key=True)


class Toy(Base):
    __tablename__ = "toys"

    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey(Box.id))
