# Needs Python 3.11 and make, and for the fast core a C compiler; nothing else. Everything is installed into
# $(VENV), at the versions of constraints.txt, and only when something has changed.
# `make test PYTHON=python3.12 VENV=/tmp/v` also works, and so does `MARGIN_LEDGER_PLAIN=1 make run`.

PYTHON ?= python3.11
VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
INSTALL := $(PIP) install --constraint constraints.txt --no-build-isolation
# What pyproject.toml lists under some keys: `$(call listed,["project"]["dependencies"])`.
listed = $$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))$(1))')
# Folders are among the sources, so that a file taken away counts as a change too.
SOURCES := $(shell find schemas ledger processors -name '__pycache__' -prune -o -print 2>/dev/null) setup.py
LEFTOVERS := build margin_ledger.egg-info
# `import ledger` must find what is installed, so Python is told not to look where it was started.
PYTEST := PYTHONSAFEPATH=1 REQUIRE_INSTALLED=1 $(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint format soak kafka develop clean

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

run: $(VENV)/.package ## Install, and run the demonstration
	$(BIN)/margin-ledger demo

test: lint ## Everything that CI runs: lint, then the tests of the installed package
	$(PYTEST)

lint: $(VENV)/.tools ## Style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.tools ## Put the code into the house style
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

soak: $(VENV)/.tools ## The tests again: 5,000 examples a property, 1,000,000 pools, 10^9 looks of the index, longer storms
	HYPOTHESIS_PROFILE=soak $(PYTEST)

kafka: $(VENV)/.tools ## A Kafka broker on 127.0.0.1:9092, until Ctrl-C (needs Java 17 and Maven)
	$(BIN)/python tests/broker/kafka_broker.py

develop: $(VENV)/.tools ## An editable install of plain Python, to work on the code; the next `make` undoes it
	$(INSTALL) --no-deps --editable .
	rm -rf $(LEFTOVERS) $(VENV)/.package

clean: ## Take away all that make has made
	test ! -f $(VENV)/pyvenv.cfg || rm -rf $(VENV)
	rm -rf $(LEFTOVERS) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find schemas ledger processors tests -name '__pycache__' -prune -exec rm -rf {} +

$(VENV)/.python: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

# What the package needs comes before it, because the core is compiled with the types of that.
$(VENV)/.needed: $(VENV)/.python pyproject.toml
	@echo "Installing what margin-ledger needs into $(VENV)"
	@$(INSTALL) $(call listed,["build-system"]["requires"]) $(call listed,["project"]["dependencies"])
	@touch $@

# A plain, not an editable, install; a build folder left from before could bring deleted modules back.
$(VENV)/.package: $(VENV)/.needed $(SOURCES)
	@echo "Installing margin-ledger into $(VENV); to compile its core takes about a minute"
	@rm -rf $(LEFTOVERS)
	@$(INSTALL) --no-deps .
	@rm -rf $(LEFTOVERS)
	@$(BIN)/python -P -c 'from processors.bench.machine import core; print("The core is", core())'
	@touch $@

$(VENV)/.tools: $(VENV)/.package
	@echo "Installing the tools of the tests into $(VENV)"
	@$(INSTALL) $(call listed,["project"]["optional-dependencies"]["test"])
	@touch $@
