PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help up test check chaos fuzz audit browser lock clean

help: ## say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

up: $(VENV)/.installed ## install what is missing and start everything; the dashboard is on http://localhost:8501
	@exec $(BIN)/python -m tasks up

test: $(VENV)/.installed-dev browser check ## install what is missing, check the code and run all tests, in one process more than cores
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.installed-dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

chaos: $(VENV)/.installed-dev ## strike a running study with faults, and compare what is left with the study left alone
	$(BIN)/python -m tests.faults.chaos

fuzz: $(VENV)/.installed-dev ## make up an hour's worth of studies, addresses, events and messages, new ones each time
	FUZZ_CASES=55000 $(BIN)/python -m pytest tests/security/test_fuzz.py tests/security/test_fuzz_queue.py --timeout=0 --hypothesis-show-statistics

audit: ## ask the Python Package Index for known holes in all that is pinned
	$(PYTHON) -m venv var/audit
	var/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	var/audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements.txt -r constraints.txt

browser: $(VENV)/.installed-dev
	@$(BIN)/python tests/browser/chromium.py --install

lock: $(VENV)/.installed-dev ## pin what the requirements bring along, as installed now
	$(BIN)/python -m pip freeze --exclude torch --exclude torchvision | grep -Ev '^(nvidia|cuda|triton)' > constraints.txt

clean: ## remove the installation and everything that the program wrote
	rm -rf $(VENV) var

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Ticketscope needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.11 up"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@
