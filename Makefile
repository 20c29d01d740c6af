# Everything a developer does here, by name. Needs Python 3.11 or newer, make, and a package index.
# ARGS passes arguments on: make test ARGS="-k refund", make demo ARGS=--serve, make up ARGS="--http-port 9000".

.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Hashes are checked for every package; our own project comes from this folder, so has none.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --quiet

.PHONY: help demo up test lint types format bench kafka lock clean

help: ## List what can be done
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## Import a week of a real shop's invoices, pay, cancel, refund, and report every penny
	@$(BIN)/tender demo $(ARGS)

up: $(VENV)/.runtime ## Run Tender here, with its own database and broker, until Ctrl-C
	@exec $(BIN)/tender up $(ARGS)

test: $(VENV)/.dev ## Run the whole test suite
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

kafka: $(VENV)/.dev ## Run the integration tests on real Apache Kafka (Docker, or Java 17 and Maven)
	@TENDER_TEST_BROKER=kafka $(BIN)/python -m pytest tests/integration $(ARGS)

lint: $(VENV)/.dev ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.dev ## Put the code into the form that lint asks for
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

types: $(VENV)/.dev ## Check the types
	@$(BIN)/pyright

bench: $(VENV)/.runtime ## Measure speed: make bench ARGS="spine"
	@$(BIN)/tender bench $(ARGS)

lock: $(VENV)/.python ## Pin every dependency anew, with hashes (make lock ARGS=--upgrade)
	@$(INSTALL) uv
	@$(COMPILE) $(ARGS) --output-file requirements.lock
	@$(COMPILE) $(ARGS) --group dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## Remove the environment and the caches, not the data
	@rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: each stamp is newer than the lock it was installed from ---

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tender needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/.python
	@echo "Installing Tender into $(VENV) ..."
	@$(INSTALL) --require-hashes --requirement requirements.lock
	@$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing the developer's tools into $(VENV) ..."
	@$(INSTALL) --require-hashes --requirement requirements-dev.lock
	@touch $@
