"""The list of the systems: what is asked of it by whoever starts Headrace."""

import subprocess
import sys

import pytest

from include.orchestration import systems
from include.orchestration.paths import PROJECT
from include.orchestration.systems import Demo, System

SCRIPTS = ["b", "a"]
TOY = System(
    name="toy",
    title="Toy",
    dags={"toys.py": lambda: [f"toy_{script}" for script in SCRIPTS], "toy_total.py": ("toy_total",)},
    demos=(
        Demo("toy-demo", ("toy.demo", "--at", "{port}"), "TOY_DEMO", {"toy_a": ("TOY_A", "TOY"), "toy_b": ("TOY_B",)}),
    ),
    settings=("TOY_SIZE",),
)


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setattr(systems, "SYSTEMS", (systems.system_of("csv_processing"), TOY))


def test_the_dags_of_a_file_are_listed_when_they_are_asked_for(monkeypatch):
    expected = ["csv_processing", "symbol_processing", "toy_a", "toy_b", "toy_total"]
    assert systems.dag_ids() == expected
    monkeypatch.setattr(sys.modules[__name__], "SCRIPTS", ["c"])
    assert TOY.dag_ids() == ["toy_c", "toy_total"]


def test_a_dag_is_found_by_its_system_and_its_file():
    assert (systems.system_of("toy_b"), systems.file_of("toy_b")) == (TOY, "toys.py")
    assert systems.file_of("symbol_processing") == "symbol_processing.py"
    for find in (systems.system_of, systems.file_of):
        with pytest.raises(KeyError):
            find("toy_z")


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({}, ["demo-api", "toy-demo"]),
        ({"API_URL": "", "TOY": ""}, ["demo-api", "toy-demo"]),
        ({"API_URL": "https://x", "AIRFLOW_CONN_SYMBOL_API": "https://y"}, ["toy-demo"]),
        ({"AIRFLOW_CONN_CSV_API": "https://x", "AIRFLOW_CONN_SYMBOL_API": "https://y", "TOY": "1"}, ["toy-demo"]),
        ({"API_URL": "https://x", "TOY_A": "1", "TOY_B": "1"}, ["demo-api"]),
    ],
)
def test_a_demo_is_needed_while_one_dag_has_no_address_of_its_own(given, needed):
    assert [demo.name for demo in systems.demos(given)] == needed


def test_for_one_dag_only_its_own_demo_is_needed_and_only_without_an_address():
    assert [demo.name for demo in systems.demos({}, "toy_b")] == ["toy-demo"]
    assert [demo.name for demo in systems.demos({"TOY": "1"}, "toy_a")] == []
    assert [demo.name for demo in systems.demos({}, "toy_total")] == []
    assert [demo.name for demo in systems.demos({"API_URL": "https://x"}, "csv_processing")] == []
    assert [demo.name for demo in systems.demos({"API_URL": "https://x"}, "symbol_processing")] == ["demo-api"]


def test_a_demo_is_told_its_port():
    (demo,) = TOY.demos
    assert (demo.command_at(7), demo.url_at(7)) == (["toy.demo", "--at", "7"], "http://127.0.0.1:7")


def test_a_demo_without_a_variable_has_no_address():
    assert Demo("child-demo", ("toy.child",), "", {"toy_a": ("TOY",)}).url_at(7) == ""


def test_a_demo_says_that_it_is_one():
    with pytest.raises(ValueError, match="the demo `toy` must have `demo` in its name"):
        Demo("toy", (), "TOY_DEMO", {})


def test_what_a_user_may_set_is_known_for_a_system_and_for_each_dag():
    assert TOY.variables() == ["TOY_A", "TOY", "TOY_B", "TOY_SIZE"]
    assert TOY.variables("toy_b") == ["TOY_B", "TOY_SIZE"]


def imported_with(lines=""):
    """The modules that stand in memory after the list was imported, but for Python's own."""
    program = f"import sys; before = set(sys.modules); import include.orchestration.systems\n{lines}\n"
    program += "print(*sorted(set(sys.modules) - before))"
    ended = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    return [name for name in ended.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names]


def test_the_list_imports_no_package_and_nothing_of_ours():
    """A lasting scheduler that had imported more would not see an edit of it."""
    assert imported_with() == ["include", "include.orchestration", "include.orchestration.systems"]
    assert "include.orchestration.pools" in imported_with("import include.orchestration.pools")
