PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help up test check chaos fuzz audit wheels docs-check reference notebook pictures browser lock clean erase dev

help: ## say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

up: ## install what is missing and start everything; the dashboard is on http://localhost:8501
	@$(PYTHON) install.py
	@exec $(BIN)/ticketscope up

test: dev browser check ## install what is missing, check the code and run all tests, in one process more than cores
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

chaos: dev ## strike a running study with faults, and compare what is left with the study left alone
	$(BIN)/python -m tests.faults.chaos

fuzz: dev ## make up an hour's worth of studies, addresses, events, messages and bundles, new ones each time
	FUZZ_CASES=55000 $(BIN)/python -m pytest tests/security/test_fuzz.py tests/security/test_fuzz_queue.py tests/security/test_bundles.py --timeout=0 --hypothesis-show-statistics

audit: ## ask the Python Package Index for known holes in all that is pinned
	$(PYTHON) -m venv var/audit
	var/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	var/audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements.txt -r constraints.txt

wheels: dev ## ask the package index whether all that is pinned has a wheel for every Python and platform
	$(BIN)/python -m benchmarks.wheels

docs-check: dev ## run the commands of README and docs as a reader would, some minutes
	$(BIN)/python -m tests.documents.check

reference: dev ## write docs/reference.md from the models of studies and settings
	$(BIN)/python docs/reference.py

notebook: dev ## execute docs/notebook.ipynb over the demo that real workers train, some minutes
	$(BIN)/python -m docs.notebook

pictures: dev browser ## take the pictures of README and docs from a real run, some minutes
	$(BIN)/python -m docs.images.pictures

browser: dev
	@$(BIN)/python tests/browser/chromium.py --install

lock: dev ## pin what the requirements bring along, as installed now
	$(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | grep -Ev '^(nvidia|cuda|triton)' | sed 's/+.*//' > constraints.txt

clean: ## remove the installation; studies and their results stay
	rm -rf $(VENV) build *.egg-info

erase: ## remove all studies and results of this folder, after asking
	@printf 'Remove var, with every study, result and weight in it? Type yes: '; read answer; \
		if [ "$$answer" = yes ]; then rm -rf var && echo "removed var"; else echo "nothing was removed"; fi

dev:
	@$(PYTHON) install.py --dev
