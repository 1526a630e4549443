# Everything a user or developer types. `make` alone lists it.
#
#   PYTHON    the interpreter that .venv is made from (3.11 or newer)
#   TORCH     the torch to install when .venv has none that will do, e.g. TORCH=torch==2.12.1
#   PIP_ARGS  where and how pip gets it, e.g. PIP_ARGS="--index-url <a CPU index>"
#   ARGS      more arguments for the server, pytest or the benchmarks, e.g. ARGS="--http-port 9000",
#             ARGS="-k batcher", ARGS=models

PYTHON ?= python3
TORCH ?= torch==2.13.0
PIP_ARGS ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
TORCH_FLOOR := $(shell sed -n 's/.*"torch>=\([0-9.]*\)".*/\1/p' pyproject.toml)

.PHONY: help serve test install check test-full test-deploy proto scores bench
.DELETE_ON_ERROR:

help:
	@echo 'make serve        start the server on the embedded models (installs what it needs into .venv)'
	@echo 'make test         the test suite'
	@echo 'make check        formatting, lint, types, and that make proto has been run'
	@echo 'make test-full    parity at the published sizes; the benchmarks at their shortest'
	@echo 'make test-deploy  the image, built and run: needs docker, podman, or as root the buildah of Debian'
	@echo 'make proto        the Python messages of protos/, for the server and the client'
	@echo 'make scores       the scores of the embedded models, beside simple baselines (downloads test data)'
	@echo 'make bench        the benchmarks (ARGS=models: one of them)'
	@echo 'make install      the development environment, which all but serve make first'
	@echo 'variables: PYTHON, TORCH, PIP_ARGS, ARGS, as in: make serve PYTHON=python3.12 ARGS="--http-port 9000"'

serve: $(INSTALLED)
	@exec $(BIN)/perceiver-server serve $(ARGS)

test: $(INSTALLED_DEV)
	@$(BIN)/python -m pytest $(ARGS)

test-full: $(INSTALLED_DEV)
	@$(BIN)/python -m pytest -m full -rs --timeout 600 $(ARGS)

test-deploy: $(INSTALLED_DEV)
	@TORCH='$(TORCH)' PIP_ARGS='$(PIP_ARGS)' $(BIN)/python -m pytest -m deploy $(ARGS)

check: $(INSTALLED_DEV)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m protos.generate --check

proto: $(INSTALLED_DEV)
	@$(BIN)/python -m protos.generate

scores: $(INSTALLED_DEV)
	@$(PIP) --editable '.[training]'
	@for name in language-id fashion fill-mask flow multimodal; do \
	[ -f training/data/$$name.npz ] || $(BIN)/python -m training.prepare $$name || exit 1; \
	$(BIN)/python -m training.train tiny-$$name || exit 1; done

bench: $(INSTALLED_DEV)
	@$(BIN)/python -m benchmarks $(ARGS)

install: $(INSTALLED_DEV)
	@echo 'everything is in $(VENV)'

# $(call step,what is done,command): one line, a dot every three seconds, the log only when it fails.
# The dots stop with the shell that started them, however that ends.
define step
printf '%s ' '$(1)'; start=$$(date +%s); \
( while sleep 3; kill -0 $$$$; do printf . >&3; done ) 3>&1 >/dev/null 2>&1 & dots=$$!; \
if $(2) >$(VENV)/install.log 2>&1; \
then kill $$dots; wait $$dots 2>/dev/null; echo " $$(( $$(date +%s) - start )) s"; \
else kill $$dots; wait $$dots 2>/dev/null; echo ' failed:'; cat $(VENV)/install.log; exit 1; fi
endef

NEEDED = Python 3.11 or newer is needed, for example: make PYTHON=python3.12 $(MAKECMDGOALS)
define CHECK_PYTHON
import sys
if sys.version_info < (3, 11):
    sys.exit("$(NEEDED)")
endef

define CHECK_TORCH
import sys
from importlib.metadata import PackageNotFoundError, version
number = lambda text: [int(part) for part in text.split(".")[:2]]
try:
    sys.exit(number(version("torch")) < number("$(TORCH_FLOOR)"))
except PackageNotFoundError:
    sys.exit(1)
endef
export CHECK_PYTHON CHECK_TORCH

# A torch that is already in .venv and new enough is left alone.
$(VENV)/.torch: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo 'there is no command $(PYTHON). $(NEEDED)' >&2; exit 1; }
	@$(PYTHON) -c "$$CHECK_PYTHON"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c "$$CHECK_TORCH" || { \
	$(call step,installing $(TORCH): hundreds of megabytes,$(PIP) $(PIP_ARGS) '$(TORCH)'); }
	@touch $@

$(INSTALLED): $(VENV)/.torch pyproject.toml constraints.txt
	@$(call step,installing perceiver-server,$(PIP) --editable .)
	@touch $@

$(INSTALLED_DEV): $(VENV)/.torch pyproject.toml clients/python/pyproject.toml constraints.txt
	@$(call step,installing perceiver-server with its tests and tools,$(PIP) --editable '.[dev]' --editable 'clients/python[cli]')
	@touch $(INSTALLED) $@
