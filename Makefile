# Everything runs in .venv, made from pyproject.toml (ranges) and constraints.txt (pins).
PYTHON ?= python3
BIN := .venv/bin
# Test processes; the slowest tests start two of their own, so more than this many hardly help.
TEST_PROCESSES ?= 2

.PHONY: demo test lint check package docs mutants clean
demo: .venv/ready
	$(BIN)/synvita demo --run runs/demo

test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -n $(TEST_PROCESSES) --dist worksteal

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

# Wheel and sdist, and the wheel at work in a bare environment; a minute.
package: .venv/ready
	$(BIN)/python -m pytest -q -m "slow or not slow" tests/test_package.py

# The documentation as a site: site/index.html. Strict: a link that leads nowhere is an error.
docs: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Small changes of the code: do the tests notice? Minutes, so by name only (docs/reliability.md).
mutants: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[mutants]'
	$(BIN)/python tests/mutants.py

.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv
