"""Refuses secrets that are empty, well known, short or cannot stand in a URL, and settings that cannot work.

`python -m include.launch.stack.preflight`, before anything is started or changed.
"""

import base64
import binascii
import os
import re
import sys
from collections.abc import Mapping

from include.launch.stack import settings

SECRETS = (
    "POSTGRES_PASSWORD",
    "AIRFLOW_DB_PASSWORD",
    "HEADRACE_DB_PASSWORD",
    "CELERY_DB_PASSWORD",
    "REDIS_PASSWORD",
    "FERNET_KEY",
    "JWT_SECRET",
    "API_SECRET_KEY",
    "ADMIN_PASSWORD",
    "VIEWER_PASSWORD",
    "HEADRACE_METRICS_TOKEN",
)
MAY_BE_EMPTY = ("HEADRACE_METRICS_TOKEN",)  # where only a login opens what it is for
SIGNING = ("JWT_SECRET", "API_SECRET_KEY")
SHORTEST = 15  # characters; what NIST SP 800-63B-4 asks of a password that is the only factor
SHORTEST_SIGNING = 32  # RFC 7518, 3.2: a key of HMAC SHA-256 has at least 256 bits
# What the examples of Airflow, Postgres, Redis and Grafana come with, and what is typed to get past a check.
WELL_KNOWN = re.compile("(airflow|admin|changeme|default|example|headrace|password|postgres|redis|secret|viewer)*")
URL_SAFE = re.compile(r"[A-Za-z0-9._~-]+")


def problems(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each secret of the stack that is no secret; it names the variable, never the value."""
    found = [problem for name in SECRETS if (problem := _problem(name, environment.get(name, "")))]
    seen: dict[str, str] = {}
    for name in SECRETS:
        value = environment.get(name, "")
        if value and value in seen:
            found.append(f"{name} is the same as {seen[value]}; each needs a secret of its own")
        seen.setdefault(value, name)
    return found


def _problem(name: str, value: str) -> str | None:
    if not value:
        return None if name in MAY_BE_EMPTY else f"{name} is empty"
    if name == "FERNET_KEY":
        return None if _is_fernet_key(value) else f"{name} is no Fernet key: 32 bytes in URL-safe base64"
    if WELL_KNOWN.fullmatch(re.sub(r"[\W\d_]+", "", value.lower())):
        return f"{name} is a well-known default"
    shortest = SHORTEST_SIGNING if name in SIGNING else SHORTEST
    if len(value) < shortest:
        return f"{name} has {len(value)} characters; it needs {shortest} or more"
    if len(set(value)) < 5:
        return f"{name} repeats a few characters"
    if not URL_SAFE.fullmatch(value):
        return f"{name} holds a character that cannot stand in a URL; allowed are letters, digits and . _ ~ -"
    return None


def _is_fernet_key(value: str) -> bool:
    try:
        return len(set(key := base64.urlsafe_b64decode(value))) > 1 and len(key) == 32
    except (binascii.Error, ValueError):
        return False


def main() -> int:
    """Print every problem of the secrets and the settings; the exit status is 0 only where there is none."""
    found = problems(os.environ)
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    if found:
        print("`make stack-up` writes good secrets to .env.local", file=sys.stderr)
    unusable = settings.problems(os.environ)
    for problem in unusable:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if found or unusable else 0


if __name__ == "__main__":
    sys.exit(main())
