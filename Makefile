# Everything runs in .venv, made from pyproject.toml (ranges) and constraints.txt (pins).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint check mutants clean
demo: .venv/ready
	$(BIN)/synvita demo --run runs/demo

test: .venv/ready
	$(BIN)/python -m pytest -q -rs

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

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
