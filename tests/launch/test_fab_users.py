import contextlib
import sys
from types import SimpleNamespace

import pytest

from include.launch import fab_users

FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
AUTH_DB, AUTH_LDAP = 1, 2


class Manager:
    """FAB's, with the roles that it has from the start: what it was told to keep."""

    def __init__(self) -> None:
        self.auth_type = AUTH_DB
        self.users: dict[str, tuple[str, str]] = {}
        self.rights: list[tuple[str, str]] = []

    def find_user(self, name):
        return self.users.get(name)

    def find_role(self, name):
        return name

    def add_user(self, name, first, last, email, role, password):
        self.users[name] = (role, password)

    def create_permission(self, action, resource):
        return f"{action} {resource}"

    def add_permission_to_role(self, role, permission):
        self.rights.append((role, permission))


@pytest.fixture
def manager(monkeypatch, tmp_path):
    (tmp_path / "passwords.json").write_text('{"admin": "one", "viewer": "two"}')
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(tmp_path / "passwords.json"))
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin,viewer:viewer")
    monkeypatch.setenv(fab_users.AUTH_MANAGER, FAB)
    found = Manager()
    # In place of FAB's own modules, which take seconds to import.
    stand_ins = {
        "airflow.providers.fab.auth_manager.cli_commands.utils": {
            "get_application_builder": lambda: contextlib.nullcontext(SimpleNamespace(sm=found))
        },
        "flask_appbuilder.const": {"AUTH_DB": AUTH_DB},
    }
    for name, values in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**values))
    return found


def test_fab_gets_the_users_with_their_roles_and_the_roles_see_the_entry_of_the_pages(manager):
    assert fab_users.add_where_fab() == ["admin", "viewer"]
    assert manager.users == {"admin": ("Admin", "one"), "viewer": ("Viewer", "two")}
    assert manager.rights == [("User", "can_read Plugins"), ("Viewer", "can_read Plugins")]


def test_what_a_person_has_changed_in_fab_stays(manager):
    manager.users = {"admin": ("Op", "changed"), "viewer": ("Public", "changed")}
    assert fab_users.add_where_fab() == []
    assert manager.users == {"admin": ("Op", "changed"), "viewer": ("Public", "changed")}
    assert manager.rights == []


@pytest.mark.parametrize("elsewhere", ["", "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.X", None])
def test_nothing_is_added_where_the_users_are_elsewhere(manager, monkeypatch, elsewhere):
    if elsewhere is None:
        manager.auth_type = AUTH_LDAP
    else:
        monkeypatch.setenv(fab_users.AUTH_MANAGER, elsewhere)
    assert fab_users.add_where_fab() == []
    assert manager.users == {}
