"""Gives the simple auth manager the passwords of the environment: it reads, and rewrites, a file of its own."""

import json
import os
from pathlib import Path

USERS = {"admin": "ADMIN_PASSWORD", "viewer": "VIEWER_PASSWORD"}


def main() -> None:
    """Write the file that `[core] simple_auth_manager_passwords_file` names, readable by its owner only."""
    path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({user: os.environ[variable] for user, variable in USERS.items()}), encoding="utf-8")


if __name__ == "__main__":
    main()
