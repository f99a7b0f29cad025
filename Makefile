# make run    talk to the sample agents, with no key and no account
# make test   every test, on real parts, installing what they need
# make check  lint and strict types
# make unit   the tests that need no server, browser or speech model

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVE_FLAGS ?=

.PHONY: run test unit check format schemas bench clean

run: $(VENV)/.installed
	@$(BIN)/agentd serve --dev $(SERVE_FLAGS)

test: $(VENV)/.installed
	@bash tests/system/install.sh
	@$(BIN)/python -m pytest

unit: $(VENV)/.installed
	@$(BIN)/python -m pytest -m "not system"

check: $(VENV)/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/agentd schema --check

format: $(VENV)/.installed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

schemas: $(VENV)/.installed
	@$(BIN)/agentd schema --write

$(VENV)/.installed: pyproject.toml
	@bash tests/system/python.sh $(PYTHON) $(VENV)
	@echo "Installing agentd and its providers (once; about two minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) .cache build dist *.egg-info
