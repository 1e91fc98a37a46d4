# `make help` lists what there is. Everything happens inside .venv/ and var/; nothing is installed on the machine.

VENV := .venv
PY := $(VENV)/bin/python
PO := $(wildcard flashsale/locale/*/LC_MESSAGES/*.po)
MO := $(PO:.po=.mo)
NEWEST := python3 python3.14 python3.13 python3.12 python3.11
PYTHON ?= $(shell for p in $(NEWEST); do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

SEED ?= $(shell date +%s)
CORES := $(shell getconf _NPROCESSORS_ONLN)
# Many tests wait for a clock or a browser: two workers more than there are cores.
WORKERS ?= $(shell expr $(CORES) + 2)
# A worker that has no test left takes half of those of the busiest. Otherwise one goes on alone for minutes.
SHARED := --dist worksteal -n
# What `make quick` runs, without the tests that are marked slow. The rest is for `make test`.
QUICK := tests/rules tests/house tests/gate tests/simulation \
	$(addprefix tests/life/test_,reserve.py confirm.py) \
	$(addprefix tests/web/test_,api.py hot.py pages.py document.py problems.py health.py)

# What `make test` does for a sample of pages, fields and requests, and `make soak` for all of them.
WHOLE := tests/story tests/browser/test_admin.py tests/simulation/test_judging.py \
	$(addprefix tests/admin/test_,bad_values.py lookups.py) $(addprefix tests/web/test_,arbitrary_requests.py odd_requests.py)

# All tests of the books are in files that name this marker.
BOOKS = $(shell grep -rlw books tests --include='test_*.py')

# Each run of the tests adds here what it skipped; `make test` prints it once, at its end.
SKIPS := var/check/skips

# Checks read the settings, too; they get a demo's, in a folder of their own.
CHECKING := FLASHSALE_DEMO=1 FLASHSALE_VAR=var/check
LOCK := $(VENV)/bin/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header

# Tests start hundreds of processes, and each would compile all code again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run quick test check lint story soak scale lock messages reference clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.runs $(MO)  ## a demo with all its parts; Ctrl-C ends it, again continues
	@FLASHSALE_DEMO=1 $(PY) manage.py run

story: $(VENV)/.runs $(MO)  ## the campaign of January 2021 again, in a minute or two, with every promise checked
	@FLASHSALE_DEMO=1 $(PY) manage.py story $(ARGS)

quick: $(VENV)/.tests $(MO)  ## after each edit, in a minute: format, lint, types, imports, the fast tests of most parts
	$(VENV)/bin/ruff format --check --quiet
	$(VENV)/bin/ruff check --quiet
	$(CHECKING) $(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(PY) -m pytest -q $(SHARED) $(CORES) -m "not slow and not browser" $(QUICK) $(ARGS)

test: lint  ## checks, then the whole suite on PostgreSQL and the books once more on SQLite
	@mkdir -p var/check && rm -f $(SKIPS)
	@result=0; export FLASHSALE_TEST_SKIPS=$(SKIPS); \
	$(PY) -m pytest $(SHARED) $(WORKERS) $(ARGS) && \
	FLASHSALE_TEST_DB=sqlite $(PY) -m pytest $(SHARED) $(WORKERS) -m books $(BOOKS) $(ARGS) || result=$$?; \
	test ! -e $(SKIPS) || $(PY) -m tests.skips $(SKIPS); \
	exit $$result

soak: $(VENV)/.tests $(MO)  ## random steps, races, faults, pages and stories in their long forms; SEED=, STEPS=, ROUNDS=
	FLASHSALE_SOAK=$(SEED) FLASHSALE_SOAK_STEPS=$(STEPS) FLASHSALE_SOAK_ROUNDS=$(ROUNDS) $(PY) -m pytest -q $(SHARED) auto -p tests.soak tests/oracle tests/races tests/faults $(WHOLE) $(ARGS)

scale: $(VENV)/.tests $(MO)  ## break engines and hosts in the middle of sales, seeded; ARGS="--only hosts --rounds 10 --seed 1"
	@FLASHSALE_DEMO=1 $(PY) manage.py scale $(ARGS)

check: lint  ## format, lint, types, direction of imports, migrations, rules of the house
	$(PY) -m pytest -q -m "not slow" tests/house

# The whole suite has the rules of the house, too.
lint: $(VENV)/.tests $(MO)
	$(VENV)/bin/ruff format --check --quiet
	$(VENV)/bin/ruff check --quiet
	$(CHECKING) $(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(CHECKING) $(PY) manage.py makemigrations --check --dry-run

lock: $(VENV)/.tests  ## compile requirements*.in into pinned, hashed requirements*.txt
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-demo.in -o requirements-demo.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt

messages: $(VENV)/.tests  ## bring django.po up to date with the texts in code and templates
	@$(PY) -m tests.house.messages

reference: $(VENV)/.tests $(MO)  ## write docs/openapi.json, collection.json and refusals.md from the code
	@export FLASHSALE_WRITE_REFERENCE=1; \
	$(PY) -m pytest -q tests/house/test_reference.py -k committed && \
	$(PY) -m pytest -q tests/web/test_examples.py -k shape && \
	$(PY) -m pytest -q tests/house/test_reference.py -k committed

clean:  ## remove what make made, except the data in var/
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis $(MO)

$(VENV)/bin/pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed. Found: $$(python3 --version 2>&1). Install one (apt-get install python3.11 python3.11-venv, brew install python@3.13) or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.runs: requirements.txt requirements-demo.txt | $(VENV)/bin/pip
	@echo "Installing into $(VENV) (the first time takes a minute) ..."
	@$(PY) .ci/install.py requirements.txt requirements-demo.txt
	@touch $@

# The path file lets a bare `pytest` find the project, like `python -m pytest`.
$(VENV)/.tests: requirements-dev.txt | $(VENV)/bin/pip
	@echo "Installing into $(VENV), with what tests and checks need (the first time takes a minute or two) ..."
	@$(PY) .ci/install.py requirements-dev.txt
	@$(PY) -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "project.pth").write_text(str(pathlib.Path.cwd()))'
	@touch $(VENV)/.runs $@

%.mo: %.po | $(VENV)/.runs
	@$(VENV)/bin/pybabel --quiet compile -i $< -o $@
