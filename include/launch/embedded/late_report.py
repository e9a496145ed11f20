"""Reports of a run whose Airflow was stopped before it could: `late_report <DAG> <run id> <seconds it took>`."""

import sys

from include.common.errors import HeadraceError
from include.launch.run_request import runner_of
from include.orchestration import paths
from include.orchestration.telegram import HeadraceTelegramHook, find_target


def main() -> int:
    """Write the report, and tell Telegram; the exit status is 1 where that did not succeed."""
    dag_id, run_id, seconds = sys.argv[1:]
    try:
        report = runner_of(dag_id).run(paths.storage(), dag_id, run_id, {}).report_late(float(seconds))
        if target := find_target("telegram_default"):
            HeadraceTelegramHook(target).send_message({"text": report})
    except HeadraceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
