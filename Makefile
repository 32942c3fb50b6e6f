# Streamgauge: build, check, run. Needs Python >= 3.11, git and make; `make help` lists the targets.
#
#   PYTHON=python3.12   the interpreter that makes the environment
#   ARGS="..."          passed on: to pytest (test, check, chaos), the command (demo), the benchmark
#   TESTS="..."         the test files or folders of `make test` and `make check`
#   NAME=...            the benchmark of `make bench`

PYTHON ?= python3
ARGS ?=
NAME ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALLED := $(VENV)/.installed
COMPILED := $(shell find src -name '*.[ch]')
UV := uv==0.13.9
PYTEST := $(BIN)/python -m pytest
INSIDE := tests/unit tests/properties

# Tests start many processes, each of which would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo lint check test chaos bench lock clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

setup: $(INSTALLED) ## Make .venv with everything that requirements.lock names, and this project

# One stamp for the whole environment: it is made again when the lock, the project's metadata or what
# is compiled changes, and costs nothing otherwise. Without a C compiler, only speed is less.
$(INSTALLED): requirements.lock pyproject.toml hatch_build.py $(COMPILED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(PYTHON) is not Python 3.11 or newer: try make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) has no venv module: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## Everything on this machine: embedded broker, real data, monitor, page
	$(BIN)/streamgauge demo $(ARGS)

lint: setup ## Format, lint, types and import contract alone
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: TESTS ?= $(INSIDE)
check: lint ## Format, lint, types, import contract, unit and property tests
	$(PYTEST) -n logical $(TESTS) $(ARGS)

test: lint ## What `check` does, and the tests with real brokers and programs
ifdef TESTS
	$(PYTEST) $(TESTS) $(ARGS)
else
	$(BIN)/python -m tests.suite $(ARGS)
endif

chaos: setup ## The long form of the chaos tests, on Apache Kafka: about half an hour
	$(PYTEST) tests/chaos --chaos=long -s $(ARGS)

bench: setup ## Run one benchmark: make bench NAME=... ARGS=...
	@test -n "$(NAME)" || { echo "make: name a benchmark: make bench NAME=... (see benchmarks/)" >&2; exit 2; }
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

lock: ## Write requirements.lock anew (ARGS=--upgrade for newer versions)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(UV)
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --all-extras \
	  --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' --output-file requirements.lock $(ARGS)

clean: ## Remove the environment, caches and build results
	find src -name 'lib*.so' -delete
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
