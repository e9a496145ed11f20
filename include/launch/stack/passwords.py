"""Gives the auth manager the passwords of the environment: the simple one reads, and rewrites, a file of its own."""

import json
import os
from pathlib import Path

from include.launch.fab_users import add_where_fab

USERS = {"admin": "ADMIN_PASSWORD", "viewer": "VIEWER_PASSWORD"}


def main() -> None:
    """Write the file that `[core] simple_auth_manager_passwords_file` names, readable by its owner only; tell FAB."""
    path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({user: os.environ[variable] for user, variable in USERS.items()}), encoding="utf-8")
    if added := add_where_fab():
        print(f"users added: {', '.join(added)}", flush=True)


if __name__ == "__main__":
    main()
