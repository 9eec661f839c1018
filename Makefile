# Everything a newcomer needs: `make run` and `make test`. Both can be repeated and need nothing prepared but
# Python 3.11 or newer, git and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test test-slow test-network test-ledger fuzz lint format bench bench-viewers bench-ingest bench-dashboard chaos-disk \
	chaos-clock chaos-kill chaos-kill-postgres catalogue ledger-table screenshots clean

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(VENV)/.installed  ## service, dashboard and a demo job; Ctrl-C ends all
	@$(BIN)/sm3 up --demo $(ARGS)

test: $(VENV)/.installed-test  ## linters, types, layers and every test but the slow ones
	@PATH="$(abspath $(BIN)):$$PATH" sh scripts/check

test-slow: $(VENV)/.installed-test  ## the tests that take minutes
	@$(BIN)/pytest -m slow

fuzz: $(VENV)/.installed-test  ## schemathesis, malformed frames and messages, the jobs API as a state machine (10 minutes)
	@$(BIN)/pytest -m '' -s tests/fuzz

test-network: $(VENV)/.installed-test  ## the tests that need a package registry
	@$(BIN)/pytest -m network

test-ledger: $(VENV)/.installed-test  ## compare the ledger's rules with every package they are of (300 MB)
	@$(PIP) install --quiet --no-deps bitsandbytes regex torchao transformers
	@$(BIN)/pytest -m "" tests/ledger

catalogue: $(VENV)/.installed  ## generate the ledger's tables of shapes anew
	@$(PIP) install --quiet --no-deps regex transformers
	@$(BIN)/python scripts/generate_catalogue.py

ledger-table: $(VENV)/.installed  ## write the tables of docs/ledger.md anew
	@$(BIN)/python -m sm3.ledger.report docs/ledger.md

lint: $(VENV)/.installed-test  ## linters, types and layers alone
	@PATH="$(abspath $(BIN)):$$PATH" sh scripts/lint

format: $(VENV)/.installed-test  ## lay the code out
	@$(BIN)/ruff check --fix && $(BIN)/ruff format

bench: $(VENV)/.installed  ## time a step beside torch's optimizers and two ports (10 minutes)
	@$(PIP) install --quiet --no-deps torch-sm3 pytorch_optimizer
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.step --rounds 7 --json benchmarks/results.json
	@$(BIN)/python -m benchmarks.report benchmarks/results.json benchmarks/results.md benchmarks/results.svg
	@cat benchmarks/results.md

bench-viewers: $(VENV)/.installed-test  ## 1,000 SSE and 200 WebSocket viewers of one job (2 minutes)
	@$(BIN)/python -m benchmarks.viewers

bench-ingest: $(VENV)/.installed-test  ## eight workers' frames: stored a second, and what a step costs (5 minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.ingest

bench-dashboard: $(VENV)/.installed-test  ## the Live page on 10^5 steps of 200 tensors: time, CPU, memory (20 minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.dashboard $(ARGS)

chaos-kill: $(VENV)/.installed-test  ## kill service and workers 50 times each during 20 jobs, and compare (15 minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos.kills $(ARGS)

chaos-kill-postgres: $(VENV)/.installed-test  ## the same on PostgreSQL, which is killed too (20 minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos.kills --postgres $(ARGS)

chaos-disk: $(VENV)/.installed-test  ## fill an 8 MB disk under store and spools, and free it (2 minutes, root)
	@$(BIN)/pytest -m slow tests/chaos/test_disk_full.py

chaos-clock: $(VENV)/.installed-test  ## let the clock jump a day forth and back (1 minute; Debian: faketime)
	@$(BIN)/pytest -m slow tests/chaos/test_clock.py

screenshots: $(VENV)/.installed-test  ## take the pictures of the dashboard anew (3 minutes)
	@$(BIN)/python -m tests.dashboard.screenshots

clean:  ## remove the virtual environment and caches, not the stored jobs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info

$(BIN)/python:
	@$(PYTHON) scripts/require_python.py
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt scripts/install_chromium scripts/install_postgres | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	@sh scripts/install_chromium
	@sh scripts/install_postgres
	@touch $@ $(VENV)/.installed
