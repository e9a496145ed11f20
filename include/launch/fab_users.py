"""The users of the simple auth manager in Airflow's database, where FAB is the auth manager: it asks there for them.

So whoever logs in as one of them, our own commands among them, may do so with either auth manager.
"""

import json
import os
from pathlib import Path

AUTH_MANAGER = "AIRFLOW__CORE__AUTH_MANAGER"
ROLES = {"admin": "Admin", "viewer": "Viewer"}  # the simple auth manager's, and FAB's
# These two may not read the list of plugins, from which Airflow's navigation takes the entry of our pages.
WITHOUT_PLUGINS = ("User", "Viewer")


def add_where_fab() -> list[str]:
    """Add those users that FAB's database lacks, and return their names; one that is there stays as it is.

    With the first of them, the roles get the right that they lack for the pages. Nothing is done with another auth
    manager, or where FAB itself takes its users from elsewhere (LDAP, OAuth).
    """
    if not os.environ.get(AUTH_MANAGER, "").endswith(".FabAuthManager"):
        return []
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded
    from flask_appbuilder.const import AUTH_DB

    passwords = json.loads(Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]).read_text("utf-8"))
    users = dict(user.split(":") for user in os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(","))

    @providers_configuration_loaded
    def add() -> list[str]:
        with get_application_builder() as builder:
            manager = builder.sm
            if manager.auth_type != AUTH_DB:
                return []
            missing = [name for name in users if not manager.find_user(name)]
            for name in missing:
                role = manager.find_role(ROLES[users[name]])
                manager.add_user(name, name, "Headrace", f"{name}@localhost", role, passwords[name])
            if missing:
                reading = manager.create_permission("can_read", "Plugins")
                for role_name in WITHOUT_PLUGINS:
                    manager.add_permission_to_role(manager.find_role(role_name), reading)
            return missing

    return add()
