.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first Python found that runs and is supported (pyenv leaves names on the PATH that do not run);
# `make setup PYTHON=/path/to/python3.12` takes another.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c '$(SUPPORTED)' >/dev/null 2>&1 && command -v $$name && break; done)
BIN := .venv/bin
# The tests start hundreds of processes; without its bytecode each would compile our code again.
unexport PYTHONDONTWRITEBYTECODE
# A file's tests stay together, since they share servers and workers.
PROCESSES := 2
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
# Files are handed out in this order: the longest come first, so that no process is left with one at the end.
SUITE := $(addprefix tests/,faults acceptance browser integration ports numeric gpu unit repository)
STAMP := .venv/.camq-setup

.PHONY: help
help: ## what a developer needs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## embedded servers, a worker, sample photographs: overlays in demo-output/
	@$(BIN)/camq demo

# Tests wait for leases and servers, and a third process has something to do meanwhile.
.PHONY: test
test: PROCESSES := 3
test: setup ## the main way of each promise on real servers (six minutes on two idle cores)
	@$(PYTEST) -m "not slow" $(SUITE)

.PHONY: test-all
test-all: setup ## the whole suite (about 25 minutes on two idle cores)
	@$(PYTEST) $(SUITE)

.PHONY: check
check: setup ## lint, types and the quick tests (half a minute)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(PYTEST) tests/unit tests/repository -m "not slow and not servers"

.PHONY: format
format: setup ## put the code into its format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: reference
reference: setup ## write docs/reference again, after a change of commands, settings or results
	@$(BIN)/python -m docs.generate

.PHONY: docs
docs: setup ## the documentation as a site in build/docs
	@$(BIN)/sphinx-build -W -q -b html docs build/docs

.PHONY: bench
bench: setup ## speed against the bare network and the peers (about eight minutes)
	@$(BIN)/python -m bench

.PHONY: bench-million
bench-million: setup ## how cost grows up to a million images
	@$(BIN)/python -m bench --rows growth

.PHONY: chaos
chaos: setup ## kill workers, Redis and a producer, cut off storage, cancel and remove jobs, then check every image
	@$(BIN)/python -m tests.chaos

.PHONY: containers
containers: setup ## build and run the shipped containers on a Docker engine of their own (root, Debian, 40 GB)
	@$(BIN)/python -m tests.containers

.PHONY: fuzz
fuzz: setup ## Pillow's own test pictures, then damaged ones for ten minutes, through a picture process
	@$(BIN)/python -m tests.fuzz --pillow

.PHONY: compose-env
compose-env: ## write .env with fresh secrets for docker compose (never overwrites); needs no setup
	@$(PYTHON) deploy/compose_env.py

.PHONY: lock
lock: ## update requirements.lock after a change of pyproject.toml
	$(or $(wildcard $(BIN)/uv),uv) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --all-extras \
		pyproject.toml -o requirements.lock

.PHONY: setup
setup: $(STAMP) ## the virtual environment in .venv; quick when nothing changed

# uv installs in a tenth of pip's time. It comes from the lock itself, by pip, checked like everything else;
# where it has no wheel, or with INSTALLER=pip, pip installs the lock.
INSTALLER ?= uv
$(STAMP): requirements.lock pyproject.toml
	@$(or $(PYTHON),false) -c '$(SUPPORTED)' || \
		{ echo "camq needs Python 3.11, 3.12 or 3.13, and none is on the PATH: set PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) -V): 3 GB to download and 7 GB on disk the first time, most of it torch"
	@$(PYTHON) -m venv .venv
	@awk '/^[a-z]/ { keep = /^uv==/ } keep' requirements.lock >.venv/uv.lock
	@set -e; install="$(BIN)/python -m pip --disable-pip-version-check install"; \
	if [ $(INSTALLER) = uv ]; then \
		if $$install --quiet --only-binary uv --require-hashes -r .venv/uv.lock; \
		then install="$(BIN)/uv pip install --python $(BIN)/python"; \
		else echo "uv cannot be installed here: pip takes its place, which needs some five minutes"; fi; \
	fi; \
	$$install --require-hashes -r requirements.lock; \
	$$install --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

.PHONY: clean
clean: ## remove what was made here (not .venv)
	rm -rf demo-output camq-output .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
