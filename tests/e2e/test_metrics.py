"""The lines that a running Airflow sends, against the dashboard of the profile `monitoring`."""

from tests.monitoring import exported, measured, problems, questions, received

# Told every 30 s and only of tasks that run or wait at that moment.
BY_CHANCE = {"airflow_ti_queued", "airflow_ti_running"}


def test_a_running_airflow_sends_all_that_the_dashboard_shows(headrace):
    made = headrace.run(LIMIT="2")
    assert made.status == 0, made.output

    def missing():
        asked = problems(questions(), exported(received(line) for line in list(headrace.metrics.lines)) | measured())
        return [name for name in asked if name.split()[0] not in BY_CHANCE]

    headrace.metrics.wait_until(lambda: not missing(), 60)
    assert missing() == []
