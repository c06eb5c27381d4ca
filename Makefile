# Everything a newcomer types. `make help` lists it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
INSTALLED := .venv/.installed
RESOLVE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long test-pythons check bench bench-growth bench-endurance drill soak fuzz debian format lock oracle clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Make .venv from the lock files, with .venv/bin/mailroom in it

$(INSTALLED): requirements.lock requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "installing into .venv (about a minute)"
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) --no-deps --require-hashes --requirement requirements.lock --requirement requirements-dev.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Mail a document to an inbox, send a batch, and show the outcomes; leaves the stack up
	@$(BIN)/mailroom demo

# The slowest files are in tests/contract, so the two processes end together.
# These start processes: the files that use a whole stack share one in each of the two processes, flows have servers of their own. In the order
# of their names: tests that put databases back to earlier ones come after those that read what a Prefect server has just recorded.
STACKS := tests/e2e tests/faults tests/contract/test_api_crowded.py tests/flows

test: setup debian ## Run every test, on real parts
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/contract tests/unit $(addprefix --ignore=,$(STACKS))
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(STACKS)

check: setup ## Format, lint, types, architecture, spelling, words, sizes
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell
	@$(BIN)/python tests/support/words.py
	@$(BIN)/python -m pytest -q tests/unit/test_architecture.py -k 'outgrows or outside or built or named'

bench: setup debian ## Measure, in one run, and print the tables: parsers and their worst cases, delivery events, inbound, archive, sending
	@$(BIN)/python -m benchmarks.parsing
	@$(BIN)/python -m benchmarks.traps
	@$(BIN)/python -m benchmarks.events
	@$(BIN)/python -m benchmarks.inbound
	@$(BIN)/python -m benchmarks.copies
	@$(BIN)/python -m benchmarks.archive
	@$(BIN)/python -m benchmarks.sending
	@$(BIN)/python -m benchmarks.deferrals

bench-growth: setup ## The same with 100,000 e-mails and 20,000 runs in the tables, pages too
	@$(BIN)/python -m benchmarks.growth

bench-endurance: setup ## Idle cost, a mail of 35 MB, 2,000 mails waiting after an outage, good mails beside poison
	@$(BIN)/python -m benchmarks.endurance
	@$(BIN)/python -m benchmarks.poison

fuzz: setup ## Search ten minutes each for a mail, an object and a notification that break their readers
	@test -x .cache/fuzz/bin/python || $(PYTHON) -m venv .cache/fuzz
	@.cache/fuzz/bin/python -m pip install -qq --disable-pip-version-check --requirement tests/fuzz/requirements.txt
	@mkdir -p .cache/fuzz/mails .cache/fuzz/objects .cache/fuzz/notices
	@.cache/fuzz/bin/python -m tests.fuzz.parser .cache/fuzz/mails tests/data/parser \
		-dict=tests/fuzz/words.dict -max_len=4096 -timeout=20 -max_total_time=600
	@.cache/fuzz/bin/python -m tests.fuzz.objects .cache/fuzz/objects -max_len=2048 -timeout=20 -max_total_time=600
	@.cache/fuzz/bin/python -m tests.fuzz.notices .cache/fuzz/notices $(wildcard tests/data/hooks/*) \
		-max_len=4096 -timeout=20 -max_total_time=600

test-long: setup debian ## The long forms of tests: every crash point, outages of minutes, kills by the dozen, new examples of properties
	@$(BIN)/python -m pytest -m long
	@$(BIN)/python -m pytest -n 2 --dist loadfile --hypothesis-profile search $(shell grep -rl "from hypothesis import" tests/unit)

test-pythons: debian ## Run the unit and contract tiers on each of Python 3.11, 3.12 and 3.13 that is here
	@./tests/pythons.sh

drill: setup debian ## Kill workers 500 times while mails arrive, and while batches are sent: none may be lost or duplicated
	@$(BIN)/mailroom drill --workers 3
	@$(BIN)/mailroom drill --outbound --workers 3 --minutes 15

soak: setup ## Run MINUTES (30) with mail, batches, schedules and restarts: nothing may wait, leak or log an error
	@$(BIN)/python -m mailroom.sandbox.drills.soak --minutes $(or $(MINUTES),30)

debian: ## Install chromium and Postfix's smtp-sink for the tests
	@./tests/debian.sh

format: setup ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet .

lock: ## Resolve the dependencies into the lock files, keeping the versions they have (needs uv: pip install uv)
	@$(RESOLVE) --output-file requirements.lock pyproject.toml
	@$(RESOLVE) --output-file requirements-dev.lock --all-extras --constraint requirements.lock \
		$$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock) pyproject.toml

oracle: ## Record again what AWS's own S3 Encryption Client writes and reads, in an environment of its own
	@$(PYTHON) -m venv --clear .venv-oracle
	@.venv-oracle/bin/python -m pip install -qq --disable-pip-version-check \
		amazon-s3-encryption-client-python==4.0.0 'moto[server,s3,kms]==5.2.5'
	@.venv-oracle/bin/python -W ignore tests/data/s3_encryption/make_vectors.py

clean: ## Stop the stack, and remove its data and everything made here
	@if [ -x $(BIN)/mailroom ]; then $(BIN)/mailroom down --wipe; fi
	@rm -rf .venv .venv-oracle .mailroom .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
