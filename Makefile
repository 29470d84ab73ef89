# esper: `make train` and `make test` set everything up by themselves; `make help` lists the rest.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PACKAGES := esper_core $(foreach plugin,$(PLUGINS),$(wildcard $(plugin)/esper_*/__init__.py))
WORKERS ?= 2
PIP     := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

# The stamp is named after what the environment was made from, so that nothing happens when nothing changed, and the
# whole set-up runs again when a dependency or a plugin comes or goes, or when the checkout has moved.
INPUTS := Makefile constraints.txt pyproject.toml $(PLUGINS:%=%/pyproject.toml)
SUM    := $(shell { pwd; echo $(INPUTS); cat $(INPUTS); } | cksum | cut -d' ' -f1)
STAMP  := $(VENV)/.installed-$(SUM)
SITE   := $(VENV)/.installed-site-$(SUM)

# One thread per process: hosts are small, and thread barriers cost more than they give.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install train test test-slow lint format docs site dist clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## create .venv with the core and every plugin in plugins/
	@echo "Ready: $(BIN)/esper --help"

train: $(STAMP) ## train lstm-v2 with 5 slots on the digits task (two to four minutes)
	$(BIN)/esper train --policy lstm-v2 --slots 5 --updates 24

test: $(STAMP) ## run all tests but the slow ones
	$(BIN)/python -m pytest -q -m "not slow" -n $(WORKERS)

test-slow: $(STAMP) ## run the slow tests
	$(BIN)/python -m pytest -q -m slow -n $(WORKERS)

lint: $(STAMP) ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy $(patsubst %/__init__.py,%,$(PACKAGES))

format: $(STAMP) ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## write the pages that follow from the code
	$(BIN)/python -m docs.generate

site: $(SITE) ## build the documentation site into site/; a broken link or anchor is an error
	$(BIN)/zensical build --clean --strict

dist: $(STAMP) ## build wheels and source distributions of the core and every plugin into dist/
	@rm -rf dist
	@for source in . $(PLUGINS); do $(BIN)/python -m build --no-isolation --outdir dist "$$source" >/dev/null || exit 1; done
	@ls dist

clean: ## remove .venv, caches and build artefacts; runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache build dist site *.egg-info plugins/*/build plugins/*/*.egg-info
	find esper_core plugins tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Finding Python, and saying what is missing before anything fails half-way.
define FIND_PYTHON
set -e; \
say() { printf '\n  esper: %s\n\n' "$$1" >&2; exit 1; }; \
command -v git >/dev/null 2>&1 \
  || say 'git is missing. Install it: "apt install git" (Debian, Ubuntu), "dnf install git" (Fedora), "brew install git" (macOS).'; \
python=; \
for candidate in $(PYTHON) python3.13 python3.12 python3.11; do \
  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then python=$$candidate; break; fi; \
done; \
[ -n "$$python" ] \
  || say 'Python 3.11 or newer is missing. Install it: "apt install python3 python3-venv" (Debian, Ubuntu), "dnf install python3" (Fedora), "brew install python" (macOS), or name one: make PYTHON=/path/to/python3.'; \
"$$python" -c 'import venv, ensurepip' >/dev/null 2>&1 \
  || say "The venv module of $$python is missing. Install it: \"apt install python$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv\" (Debian, Ubuntu)."
endef

$(STAMP):
	@$(FIND_PYTHON); \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "Creating $(VENV) with $$($$python --version)"; "$$python" -m venv --clear $(VENV); \
	fi
	@rm -f $(VENV)/.installed-*
	@if ls -d $(VENV)/lib/python*/site-packages/torch >/dev/null 2>&1; then quiet=-qq; \
	else echo "Installing torch, the largest download"; fi; \
	$(PIP) $$quiet setuptools torch
	@echo "Installing esper-core and $(words $(PLUGINS)) plugins: $(notdir $(PLUGINS))"
	@$(PIP) -qq --no-build-isolation -e '.[dev]' $(PLUGINS:%=-e %)
	@touch $@

$(SITE): $(STAMP)
	@echo "Installing what builds the site"
	@$(PIP) -qq --no-build-isolation -e '.[site]'
	@touch $@
