# Headrace. `make` lists the targets. Values may be given on the line: make run CSV=my.csv API_URL=https://…
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# What is given on the line is handed on as it was written: a `$` in a file's name is not make's.
$(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(eval override export $(name) := $$(value $(name)))))
BIN := .venv/bin
HEADRACE_HOME ?= .airflow
EMBEDDED := $(BIN)/python -m include.launch.embedded --home "$(HEADRACE_HOME)"
PORT ?= 8080

.DEFAULT_GOAL := help
.PHONY: help run up down airflow migrate migration stack-up stack-down stack-status stack-logs stack trigger test test-services test-stack check bench lock

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo "Variables of run and trigger:" DAG= $$(awk -F'"' '/^ *variable="/ && !seen[$$2]++ {print $$2 "="}' include/*/parameters.py)

run: .venv/installed ## Run a DAG once, with the variables below
	@$(EMBEDDED) run

up: .venv/installed ## Start a lasting Airflow with its web UI on PORT (8080)
	@$(EMBEDDED) up --port "$(PORT)"

down: .venv/installed ## Stop what `make up` started
	@$(EMBEDDED) down

airflow: .venv/installed ## Airflow's own command line here: make airflow CMD="dags list"
	@$(EMBEDDED) airflow $(CMD)

migrate: .venv/installed ## Databases to the newest revision, pools imported; REVISION=common@0001 or -1 moves ours only, DATA=1, SQL=1
	@$(EMBEDDED) migrate

migration: .venv/installed-dev ## Write the revision that a system's models need: MESSAGE="…" SYSTEM=common
	@$(EMBEDDED) migration

stack-up: ## Start the stack of docker-compose.yaml: CeleryExecutor, Redis, Postgres; needs docker only
	@deploy/stack.sh up

stack-down: ## Stop the stack; data and history stay
	@deploy/stack.sh down

stack-status: ## Show the stack's containers and whether they are healthy
	@deploy/stack.sh status

stack-logs: ## Show the stack's logs: SERVICE=worker TAIL=100 FOLLOW=1
	@SERVICE="$(SERVICE)" TAIL="$(TAIL)" FOLLOW="$(FOLLOW)" deploy/stack.sh logs

stack: ## docker compose on the stack: make stack CMD="up --detach --scale worker=3 --no-recreate"
	@deploy/stack.sh compose $(CMD)

trigger: ## Start a run of the stack, with the variables of run; WAIT=1 follows it
	@deploy/stack.sh trigger

# In two processes: first what needs no Airflow, then the tests of one Airflow beside those that start their own. Both
# are run, whatever fails.
test: .venv/installed-dev ## Run every test; no network but loopback, its own Postgres and Kafka
	@failed=0; \
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests/unit tests/orchestration tests/launch tests/integrity tests/integration || failed=1; \
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests/e2e || failed=1; \
	exit $$failed

test-services: .venv/installed-dev ## Start a Postgres and a Kafka for the tests, until Ctrl-C: with what is printed they are started once
	@$(BIN)/python -m tests.services

test-stack: .venv/installed-dev ## Bring the stack up, test it, take it down with its volumes; needs docker
	@$(BIN)/python -m pytest tests/stack

check: .venv/installed-dev ## Lint, format, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/installed-dev ## Measure Headrace beside its floor: CASE= or ROWS= IN_FLIGHT= LATENCY=, ROUNDS=
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
