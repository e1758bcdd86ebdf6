# Each target makes the environment it needs, from nothing, as root or as an ordinary user.
#   make demo    the whole system on one screen       make test    the tests
#   make check   lint, types, import contract         make bench   speed against a measured floor
# VENV=/elsewhere puts the environment elsewhere; PYTHON=... picks the interpreter (3.11 to 3.13).

VENV ?= .venv
PYTHON ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: demo test check bench clean install
.DEFAULT_GOAL := demo

demo: $(STAMP)
	@echo "== demo: compiling the simulated market and the slicer, where that was not done before (a minute)"
	@$(BIN)/python -m lit_router.market.batch
	@$(BIN)/python -m ml.slicer
	@echo "== demo: database, service and dealers, then a block of 500,000 shares (about two minutes)"
	@$(BIN)/rfq demo $(ARGS)

test: $(STAMP)
	@echo "== test: compiling the simulated market and the slicer, where that was not done before (two minutes)"
	@$(BIN)/python -m lit_router.market.batch all
	@$(BIN)/python -m ml.slicer
	@echo "== test: pytest, against a real PostgreSQL and real sockets"
	@$(BIN)/python -m pytest $(ARGS)

check: $(STAMP)
	@echo "== check 1/3: ruff (lint)"
	@$(BIN)/ruff check .
	@echo "== check 2/3: pyright (types; strict in the domain packages and ports)"
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python
	@echo "== check 3/3: import contract (imports point down only)"
	@$(BIN)/lint-imports

bench: $(STAMP)
	@echo "== bench: auctions over sockets with durable commits, beside the floor measured in the same run"
	@$(BIN)/rfq bench auction $(ARGS)

install: $(STAMP)

clean:
	@echo "== clean: removing $(VENV), caches and build outputs (the database's data directory is kept)"
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed again only when the declared dependencies change.
$(STAMP): pyproject.toml
	@echo "== environment: $(VENV) (first time: some 700 MB to fetch and unpack, a few minutes)"
	@PYTHON="$(PYTHON)" .ci/environment "$(VENV)"
	@touch $@
