"""Reports of a run whose Airflow was stopped before it could: `late_report <DAG> <run id> <seconds it took>`."""

import sys

from include.common.errors import HeadraceError
from include.enrichment.report import report_of
from include.enrichment.run import RunFolder
from include.orchestration import paths
from include.orchestration.telegram import HeadraceTelegramHook, find_target


def main() -> int:
    """Write `report.json` and `errors.csv`, and tell Telegram; the exit status is 1 where that did not succeed."""
    dag_id, run_id, seconds = sys.argv[1:]
    folder = RunFolder(paths.storage(), dag_id, run_id)
    try:
        report = report_of(folder, dag_id, float(seconds))
        report.write(folder)
        if target := find_target("telegram_default"):
            HeadraceTelegramHook(target).send_message({"text": report.as_html()})
    except HeadraceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
