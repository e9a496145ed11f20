# What a test adds to `include/orchestration/systems.py`, and nothing else anywhere.
SYSTEMS = (
    *SYSTEMS,  # noqa: F821  (the list that this is appended to)
    System(  # noqa: F821
        name="toys",
        title="Toys",
        dags={"toys.py": lambda: (f"toy_{number}" for number in range(3))},
        models="include.toys.models",
        runner="include.orchestration.toys.runner",
        demos=(Demo("toys-demo", ("include.toys.demo", "{port}"), "TOYS_DEMO", {"toy_0": ("TOYS_URL",)}),),  # noqa: F821
    ),
)
