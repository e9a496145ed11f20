"""The stack's first step: both databases to the newest revision, the pools, the connections of the environment.

`python -m include.launch.stack.initialize`; a second call changes nothing.
"""

import os
import sys

from include.common.errors import HeadraceError
from include.launch.prepare import prepare
from include.launch.stack.connections import connections, store


def main() -> int:
    """Prepare the databases; returns the exit status."""
    try:
        wanted = connections(os.environ)  # before anything is changed
        prepare(data=True)
        changed = store(wanted)
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"databases and pools are up to date; connections written: {', '.join(changed) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
