"""For all unit tests: hypothesis without wall time, so that a slow machine fails nothing."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=60, database=None)
settings.load_profile("unit")
