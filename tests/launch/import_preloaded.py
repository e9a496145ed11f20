"""Imports what the scheduler preloads, then a DAG file; prints what that still had to import from packages of others.

`python import_preloaded.py FILE [LEFT OUT]`; the second one is a module that is not preloaded this time.
"""

import importlib
import runpy
import sys

from include.launch.embedded.scheduler import LIBRARIES


def main() -> None:
    path, *left_out = sys.argv[1:]
    for name in LIBRARIES:
        if name not in left_out:
            importlib.import_module(name)
    before = set(sys.modules)
    runpy.run_path(path)
    known = {"airflow", "include", *sys.stdlib_module_names}
    print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before} - known))


if __name__ == "__main__":
    main()
