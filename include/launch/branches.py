"""The branches of the application database's schema: common's, and one for each system with tables."""

from importlib import import_module
from pathlib import Path

from include.common.schema import COMMON, Branch
from include.orchestration import systems


def branches() -> tuple[Branch, ...]:
    """Every branch, common's first."""
    return (COMMON, *(_branch(system.name, system.models) for system in systems.SYSTEMS if system.models))


def _branch(name: str, module: str) -> Branch:
    models = import_module(module)
    return Branch(name, models.Base.metadata, Path(str(models.__file__)).with_name("migrations"))
