# make run    talk to the sample agents, with no key and no account
# make test   every test, on real parts, installing what they need
# make check  lint and strict types
# make unit   the tests that need no server, browser or speech model
# make deploy what deploy/ holds, by the tools of those who use it, helm among them
# make lock   the versions and hashes of what the image holds, as of today
# make soak   half an hour of calls, edits and killed workers: does it leak? For the night (MINUTES=60: an hour)
# make fresh  both commands on a fresh Debian 12, in a directory (as root, with debootstrap; ten minutes)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVE_FLAGS ?=
MINUTES ?= 30
# Two files of tests side by side: the system tests speak in real time, and need half a core each.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: run test unit fresh soak deploy lock check format schemas bench clean

run: $(VENV)/.installed
	@$(BIN)/agentd serve --dev $(SERVE_FLAGS)

test: $(VENV)/.installed
	@bash tests/system/install.sh
	@AGENTD_TESTS_REQUIRE=1 $(PYTEST)

unit: $(VENV)/.installed
	@$(PYTEST) -m "not system"

fresh: $(VENV)/.installed
	@$(BIN)/python -m pytest -sv tests/fresh/two_commands.py

soak: $(VENV)/.installed
	@$(BIN)/python -m bench.soak --minutes $(MINUTES)

deploy: $(VENV)/.installed
	@bash tests/deploy/helm.sh
	@bash tests/deploy/compose.sh
	@$(PYTEST) tests/deploy

lock:
	@PYTHON=$(PYTHON) sh deploy/lock.sh

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
	@touch $@

clean:
	rm -rf $(VENV) .cache build dist *.egg-info
