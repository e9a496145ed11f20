"""The frame of the pages inside Airflow: access, errors, lists, templates. Knows neither Airflow nor a system."""
