#!/bin/bash
# The stack's two databases and their three users. The Postgres image runs it once, on an empty volume; for a server of
# your own run it as a superuser, with PGHOST, PGPASSWORD and the three passwords in the environment.
set -euo pipefail

psql -v ON_ERROR_STOP=1 --quiet --username "${POSTGRES_USER:-postgres}" --dbname postgres <<SQL
CREATE ROLE airflow LOGIN PASSWORD '${AIRFLOW_DB_PASSWORD:?}';
CREATE ROLE headrace LOGIN PASSWORD '${HEADRACE_DB_PASSWORD:?}';
CREATE ROLE celery LOGIN PASSWORD '${CELERY_DB_PASSWORD:?}';
CREATE DATABASE airflow OWNER airflow ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE headrace OWNER headrace ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE airflow, headrace FROM PUBLIC;
GRANT CONNECT ON DATABASE airflow TO celery;
\connect airflow
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO airflow;
-- Where Celery keeps what its tasks came to: the workers see this schema, and nothing of Airflow's own.
CREATE SCHEMA celery AUTHORIZATION celery;
SQL
