# make demo       a site with its own login, the second factor around it, and a local Authy service: nothing to sign up for
# make test       lint, types, layers and every test but the long ones: about eight minutes
# make test-all   the same and the long rest
# make test-floors  the tests with the oldest libraries that setup.cfg allows, on Python 3.11
# make test-python PYTHON=python3.14  the tests on another Python, in a place of its own
# make soak       the state machine of adversary and honest users, long: 200,000 steps and more
# make model      the order of the steps, in Spin: five models, and every mutation still found (about ten minutes)
# make bench      the figures of docs/performance.md
# make docs       the documentation as a site, into build/docs, with every warning an error
# make screenshots  every page at 360 and 1280 px, light and dark, into shots/

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	command -v $$python >/dev/null 2>&1 && $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' && { echo $$python; break; }; done)
BIN := .venv/bin
OTHER := .venv-$(notdir $(PYTHON))
SITE ?= bottle
PORT ?= 8000
EMULATOR_PORT ?= 8001
export SITE PORT EMULATOR_PORT

.PHONY: demo test test-all test-floors test-python lint types soak model bench docs screenshots clean system

demo: .venv/.demo
	@exec $(BIN)/python -m examples.demo

test: lint types system
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

test-all: lint types system
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

# Without lint, types and the browser: they are the same on every Python.
test-floors: .venv-floors/.test system
	.venv-floors/bin/python -m pytest -q -n 2 --dist loadfile -m "not slow and not browser"

test-python: $(OTHER)/.test system
	$(OTHER)/bin/python -m pytest -q -n 2 --dist loadfile -m "not slow and not browser"

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.test
	$(BIN)/mypy

soak: .venv/.test
	$(BIN)/python -m tests.machine.soak

model:
	@tools/install-system model
	@docs/model/run.sh

bench: .venv/.test
	$(BIN)/python benchmarks/passthrough.py

docs: .venv/.test
	$(BIN)/python -m sphinx -b html -W --keep-going -n -q docs build/docs
	@echo build/docs/index.html

screenshots: .venv/.test system
	$(BIN)/python -m tests.browser.screenshots

# What the tests need and pip cannot bring: a browser, PostgreSQL, Redis, Node.
system:
	@tools/install-system

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say PYTHON=/path/to/python make ..." >&2; exit 2; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python's venv module is needed (on Debian: apt-get install python3-venv)." >&2; exit 2; }

.venv/.demo: setup.cfg pyproject.toml | .venv/bin/python
	@echo "Installing what the demo needs (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[examples]'
	@touch $@

.venv/.test: setup.cfg pyproject.toml | .venv/bin/python
	@echo "Installing what the tests need (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ .venv/.demo

.venv-floors/.test: setup.cfg pyproject.toml | .venv/bin/python
	@echo "Installing the oldest libraries that will do (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv venv --quiet --clear --python 3.11 .venv-floors
	@$(BIN)/uv pip install --quiet --python .venv-floors/bin/python --resolution lowest-direct --editable '.[test]'
	@touch $@

$(OTHER)/.test: setup.cfg pyproject.toml
	@echo "Installing what the tests need on $(PYTHON) (once) ..."
	@test -x $(OTHER)/bin/python || $(PYTHON) -m venv $(OTHER)
	@$(OTHER)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv .venv-* .cache .demo build dist shots .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
