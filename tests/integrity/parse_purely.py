"""Imports a DAG file in a fresh interpreter and fails where that reaches outside: `python parse_purely.py FILE`.

Not allowed at parse time: pandas (1.8 s), a socket that connects or listens, a name looked up, a process started.
"""

import runpy
import sys

import croniter  # noqa: F401  Airflow's own; at its import it runs `file` to learn the machine's word size

FORBIDDEN_EVENTS = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen"}


def main() -> None:
    reached: list[str] = []
    sys.addaudithook(lambda event, _: reached.append(event) if event in FORBIDDEN_EVENTS else None)
    runpy.run_path(sys.argv[1])
    if "pandas" in sys.modules:
        reached.append("import pandas")
    if reached:
        sys.exit(f"{sys.argv[1]} at parse time: {', '.join(sorted(set(reached)))}")


if __name__ == "__main__":
    main()
