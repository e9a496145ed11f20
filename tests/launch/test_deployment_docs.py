"""docs/deployment.md has every setting of the compose file in its table, with the default that holds."""

import re

from include.orchestration.paths import PROJECT

COMPOSE = (PROJECT / "docker-compose.yaml").read_text("utf-8")
TABLE = (PROJECT / "docs/deployment.md").read_text("utf-8").partition("\n## Settings\n")[2]
# Said in words there: too long, made of others, or empty.
IN_WORDS = {"WEB_URL", "HEADRACE_DATABASE_URL", "AIRFLOW_DATABASE_URL", "RESULT_BACKEND", "BROKER_URL", "AUTH_MANAGER"}
IN_WORDS |= {"DAG_BUNDLES", "HEADRACE_VOLUME", "LOGS_VOLUME", "HEADRACE_DEMO_API", "HEADRACE_POOLS"}


def documented() -> dict[str, str]:
    """Setting -> default, as the table has them; `a`, `b` | `1`, `2` is two settings."""
    found = {}
    for line in TABLE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and (names := re.findall(r"`([A-Z_]+)`", cells[0])):
            defaults = re.findall(r"`([^`]*)`", cells[1])
            defaults = defaults if len(defaults) == len(names) else [(defaults or [""])[0]] * len(names)
            found.update(zip(names, defaults, strict=True))
    return found


def test_every_setting_is_in_the_table_with_its_default():
    used = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE))
    assert used - documented().keys() == set()
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^${}]+)\}", COMPOSE))  # empty ones: as the service itself has it
    wrong = {name: value for name, value in defaults.items() if name not in IN_WORDS and documented()[name] != value}
    assert wrong == {}


def test_the_table_names_no_setting_that_is_gone():
    assert documented().keys() - set(re.findall(r"\$\{([A-Z_]+)", COMPOSE)) - {"COMPOSE_PROFILES"} == set()


def test_a_worker_elsewhere_is_given_all_that_compose_asks_for():
    page = (PROJECT / "docs/deployment.md").read_text("utf-8")
    (block,) = re.findall(r"```\n( *EXECUTION_API_URL=.*?)```", page, re.DOTALL)
    given = set(re.findall(r"^ *([A-Z_]+)=", block, re.MULTILINE))
    assert set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE)) - given == set()


def test_no_command_of_the_page_has_a_dollar_that_make_would_take():
    page = (PROJECT / "docs/deployment.md").read_text("utf-8")
    assert re.findall(r'CMD="[^"\n]*\\\$', page) == []
