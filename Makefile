# rowstream's verbs. `make` alone explains them. Each one sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: help setup demo up test coverage fault check bench docs clean lock

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread a process for the vectorized parts: rowstream scales by processes.
export POLARS_MAX_THREADS := 1
# Some machines ask Python to keep no bytecode; here hundreds of processes start, and each would compile its code again.
export PYTHONDONTWRITEBYTECODE :=
# Files go to the workers in their order, whole systems before units, so that nobody waits for a long one at the end.
TESTS := -m "not fault" -n 4 --dist loadfile --no-loadscope-reorder --max-worker-restart=0

help: ## Explain every verb
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip would compile one file after the other; some files of packages are templates that do not compile, and others are
# seldom run: their tests, installers, lexers of every language, and mypy, which is compiled already.
SELDOM := /(tests|pip|setuptools|mypy|mypyc|lexers|styles)/
setup: $(VENV)/ready ## Make .venv from the pinned requirements (quick when nothing changed)

$(VENV)/ready: requirements.txt pyproject.toml examples/flights/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "rowstream needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV) (a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e examples/flights
	@$(BIN)/python -m compileall -qq -j 0 -x '$(SELDOM)' $(VENV)/lib || true
	@touch $@

demo: setup ## Take two real files through the whole system and show what became of each record
	@$(BIN)/rowstream demo

up: setup ## Start the whole system here and keep it running until Ctrl-C
	@$(BIN)/rowstream up

test: setup ## Run every test against real servers; the fault suite is a verb of its own
	@$(BIN)/python -m tests.servers.fetch
	@$(BIN)/python -m pytest $(TESTS)

coverage: setup ## Run the same tests and count the lines and branches that they reach (takes half as long again)
	@$(BIN)/python -m tests.servers.fetch
	@$(BIN)/python -m pytest $(TESTS) --cov --cov-report=term:skip-covered --cov-fail-under=90

fault: setup ## Strike a running system by 300 faults, ten of each kind, and check every record (takes an hour)
	@$(BIN)/python -m tests.servers.fetch
	@$(BIN)/python -m tests.fault

check: setup ## Lint, types and the rules of the house
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## Measure the numbers that the design holds, in one run
	@$(BIN)/python -m tests.bench

docs: setup ## Make the reference pages anew from the code
	@$(BIN)/python -m docs.generate

lock: setup ## Pin the newest parts that pyproject.toml allows
	@$(BIN)/pip-compile --quiet --upgrade --extra dev --generate-hashes --no-emit-index-url --no-emit-options --allow-unsafe --no-strip-extras --output-file requirements.txt pyproject.toml

clean: ## Remove what the other verbs made
	rm -rf $(VENV) .rowstream .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache bench-data
