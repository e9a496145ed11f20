# Headrace. `make` lists the targets. Values may be given on the line: make run CSV=my.csv API_URL=https://…
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Handed on as they were written: a `$` in a file's name is not make's.
$(foreach name,CSV API_URL OUTPUT LIMIT RATE KEY DRY_RUN DAG RETRY_FAILED_OF MAX_CALLS DEADLINE,$(eval override export $(name) := $$(value $(name))))
BIN := .venv/bin
HEADRACE_HOME ?= .airflow
EMBEDDED := $(BIN)/python -m include.orchestration.embedded --home "$(HEADRACE_HOME)"
PORT ?= 8080

.DEFAULT_GOAL := help
.PHONY: help run up down airflow migrate test check bench lock

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/installed ## Run a DAG once: CSV= API_URL= OUTPUT= LIMIT= RATE= KEY= DRY_RUN=1 DAG= RETRY_FAILED_OF= MAX_CALLS= DEADLINE=
	@$(EMBEDDED) run

up: .venv/installed ## Start a lasting Airflow with its web UI on PORT (8080)
	@$(EMBEDDED) up --port "$(PORT)"

down: .venv/installed ## Stop what `make up` started
	@$(EMBEDDED) down

airflow: .venv/installed ## Airflow's own command line here: make airflow CMD="dags list"
	@$(EMBEDDED) airflow $(CMD)

migrate: .venv/installed ## Bring the databases of this machine's Airflow to the newest revision, import the pools
	@$(EMBEDDED) migrate

test: .venv/installed-dev ## Run every test; no network but loopback, no service
	@$(BIN)/python -m pytest

check: .venv/installed-dev ## Lint, format, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/installed-dev ## Measure the row engine beside its floor: CASE= or ROWS= IN_FLIGHT= LATENCY=, ROUNDS=
	@$(BIN)/python -m tests.bench

lock: .venv/installed-dev ## Make requirements*.txt anew from requirements*.in
	@for name in requirements requirements-dev; do \
	  UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv pip compile -q --universal --python-version 3.11 $$name.in -o $$name.txt; done

.venv/bin/python:
	@command -v "$(PYTHON)" >/dev/null && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or newer is needed (looked for python3.11 and python3); make PYTHON=/path/to/it"; exit 1; }
	@"$(PYTHON)" -m venv .venv || { echo "error: no virtual environment could be made (on Debian: apt install python3-venv)"; exit 1; }

.venv/installed: requirements.txt | .venv/bin/python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv
	@echo "installing the locked packages into .venv (about a minute, once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	@echo "installing the packages for tests and checks"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@touch $@
