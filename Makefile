# CharaForge T2I Lab. `make demo` and `make test` set up .venv by themselves; the second time that costs nothing.

VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8000
# The first Python that is new enough.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
# Where torch comes from, if not from pip's usual index; e.g. PyTorch's own index of CPU or CUDA builds.
TORCH_INDEX ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test check serve bars faults

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  variables: PYTHON=$(PYTHON) VENV=$(VENV) HOST=$(HOST) PORT=$(PORT) TORCH_INDEX=$(TORCH_INDEX)"

demo: $(INSTALLED) ## draw a character, forge a LoRA of it: report, certificate, character sheet
	$(BIN)/charaforge demo

test: check ## the same as check

check: $(INSTALLED) ## lint, types, import rules and all tests but the slow ones
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not slow"

bars: $(INSTALLED) ## the long measurements (pytest's marker slow)
	$(BIN)/python -m pytest -m slow

faults: $(INSTALLED) ## kill, cut off, fill up, damage: batches under every fault, many times over, as a table
	$(BIN)/python -m tests.backend.jobs.fault_table

serve: $(INSTALLED) ## start the REST service (HOST, PORT)
	$(BIN)/uvicorn backend.main:app --host $(HOST) --port $(PORT)

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "CharaForge needs Python 3.11 or newer: install it, or give PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) .ci/system_libraries.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install -c constraints.txt -e '.[all,dev]'
	@touch $@
