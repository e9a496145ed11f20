"""`include/toys/parameters.py` of the system that a test adds: what its runs may be given."""

from include.common.parameters import COUNT, Parameter

PARAMETERS = (
    Parameter(
        name="toys",
        variable="TOYS",
        description="How many toys are made",
        kind=COUNT,
    ),
)
