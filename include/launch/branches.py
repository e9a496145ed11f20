"""The branches of the application database's schema: common's, and one for each system with tables."""

from include.common.schema import COMMON, Branch


def branches() -> tuple[Branch, ...]:
    """Every branch, common's first."""
    return (COMMON,)
