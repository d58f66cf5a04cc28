# Every target sets up .venv by itself. `make` alone lists the targets.
PYTHON ?= python3
PRESET ?= laptop
ARGS ?=

# tests at once, a process a core: each takes up to 2 GB
WORKERS ?= --numprocesses auto --maxprocesses 4 --dist worksteal

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.setup-done

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup lint test reproduce book lab bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the tested versions of everything (some minutes, 7 GB; once)

# The stamp is written last, so an interrupted set-up goes on where it stopped. Everything comes as a wheel: a package that
# would have to be compiled is an error at once, not ten minutes later. dlib-bin would overwrite any dlib that is already
# there, so it is added only where `import dlib` fails.
$(STAMP): pyproject.toml constraints.txt
	@$(PY) -c '' 2>/dev/null \
	|| $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	|| { echo "$(PYTHON) is missing or older than 3.11: install Python 3.11 or newer, or name one with 'make $(or $(firstword $(MAKECMDGOALS)),setup) PYTHON=python3.12'." >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 \
	|| $(PY) -m ensurepip >/dev/null 2>&1 \
	|| $(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --only-binary :all: -c constraints.txt -e '.[models,notebooks,test]'
	@$(PY) -c 'import dlib' 2>/dev/null \
	|| $(PY) -m pip install --only-binary :all: -c constraints.txt -e '.[dlib]'
	@$(PY) -c 'import torch, torchvision, dlib' \
	|| { echo "The set-up in $(VENV) is damaged: remove that folder and run 'make setup' again." >&2; exit 1; }
	@touch $@

lint: $(STAMP) ## ruff, its formatter and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

test: lint ## lint, the tests, then every notebook from an empty data folder
	$(PY) -m pytest tests $(WORKERS)
	$(PY) tests/run_notebooks.py

reproduce: $(STAMP) ## the whole run: PRESET=smoke, laptop (default), colab or paper; more options in ARGS
	$(PY) -m expr_lib reproduce --preset $(PRESET) $(ARGS)

book: reproduce ## the same: its report lists the chapters as pages to read, pictures inside

lab: $(STAMP) ## open the chapters in JupyterLab
	$(PY) -m jupyterlab notebooks

bench: $(STAMP) ## run every benchmark; each prints one table
	@set -e; for file in $(wildcard benchmarks/*.py); do echo "$$file"; $(PY) $$file; done

clean: ## remove caches; .venv, data and runs stay
	find . -path ./$(VENV) -prune -o -type d \
	\( -name __pycache__ -o -name .ipynb_checkpoints -o -name .pytest_cache -o -name .mypy_cache -o -name .ruff_cache \) \
	-prune -exec rm -rf {} +
