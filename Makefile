# Every target makes .venv itself when it is absent, and makes it again when pyproject.toml changes.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo kit-demo test hil bench fuzz model crash hostile vm32 lint clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The demos need less than the rest: three stamps, and the greater one contains the lesser.
DEMO   := $(VENV)/.installed-demo
KIT    := $(VENV)/.installed-kit
DEV    := $(VENV)/.installed-dev

# SECONDS is a variable of the shell too, which counts by itself: only the one given to make is passed on.
DEMO_OPTIONS := $(if $(filter command line environment,$(origin SECONDS)),--seconds $(SECONDS)) \
  $(if $(RECORD),--record '$(RECORD)') $(if $(SUMMARY),--summary '$(SUMMARY)') \
  $(if $(NODES),--nodes $(NODES)) $(if $(SPEED),--speed $(SPEED)) $(if $(SVG),--svg '$(SVG)')

help:
	@echo 'make demo   the whole path, live [SECONDS=30] [RECORD=mitdb/100] [SUMMARY=file.json] [NODES=2] [SPEED=4] [SVG=file.svg]'
	@echo 'make kit-demo  a family: from a new kit to the first heartbeat, actions and seconds counted [ARGS=--cable]'
	@echo 'make test   every test that needs no hardware, the virtual rig included [ARGS="-k name"]'
	@echo 'make hil    the tests on a rig; the virtual one unless told otherwise [ARGS="--port /dev/ttyUSB0"]'
	@echo 'make bench  what things cost on this machine'
	@echo 'make fuzz   hostile input to every decoder, and to the VMs: half an hour [ARGS="--inputs 100000 --seed 2"]'
	@echo 'make model  the session against a link that does everything to it: half an hour [EXAMPLES=1000]'
	@echo 'make crash  kills, power cuts, failing disks, a database that ends, clock steps, old backups: half an hour [ARGS="--seed 2"]'
	@echo 'make hostile  a real agent and collector under 1 000 000 frames and 20 000 messages of nobody: two minutes'
	@echo 'make vm32   a 32-bit, single-float MicroPython for the tests [Debian on amd64; root, once]'
	@echo 'make lint   ruff, import-linter, pyright'
	@echo 'make clean  remove .venv and everything generated'

# $(call install,extra)
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Vitalwire needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
	  echo '==> making $(VENV) with uv, [$(1)] (once; a minute or two)'; \
	  test -x $(BIN)/python || uv venv --quiet --python '$(PYTHON)' $(VENV); \
	  VIRTUAL_ENV=$(VENV) uv pip install -e '.[$(1)]'; \
	else \
	  echo '==> making $(VENV) with venv and pip, [$(1)] (once; a few minutes)'; \
	  test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --disable-pip-version-check -e '.[$(1)]'; \
	fi
endef

$(DEMO): pyproject.toml
	$(call install,demo)
	@touch $@

$(KIT): pyproject.toml
	$(call install,kit-demo)
	@touch $(DEMO) $@

$(DEV): pyproject.toml
	$(call install,dev)
	@touch $(DEMO) $(KIT) $@

demo: $(if $(wildcard $(DEV)),$(DEV),$(DEMO))
	@$(BIN)/vitalwire demo $(DEMO_OPTIONS)

kit-demo: $(if $(wildcard $(DEV)),$(DEV),$(KIT))
	@$(BIN)/vitalwire kit-demo $(ARGS)

# Tests wait more than they calculate: two workers for each of CI's two cores.
test: $(DEV)
	@tools/vm32/build.sh || echo '==> without it: what wants a 32-bit VM is skipped'
	@tools/services/install.sh
	$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

hil: $(DEV)
	$(BIN)/python -m pytest hil_tests $(ARGS)

bench: $(DEV)
	@$(BIN)/vitalwire bench

fuzz: $(DEV)
	@tools/vm32/build.sh || echo '==> without it: the 64-bit VM only'
	$(BIN)/python -m tools.fuzz $(if $(ARGS),$(ARGS),--inputs 10000000)
	$(if $(ARGS),,$(BIN)/python -m tools.fuzz --vm --inputs 500000)

model: $(DEV)
	MODEL_EXAMPLES=$(or $(EXAMPLES),15000) $(BIN)/python -m pytest -n 0 --timeout 7200 --hypothesis-show-statistics tests/protocol/test_session_model.py

crash: $(DEV)
	$(BIN)/python -m tools.crash $(ARGS)
	$(BIN)/python -m tools.crash --databases 30 --collectors 3 --kills 60 --cuts 0 --restores 1 $(ARGS)
	EVERY_STEP=1 $(BIN)/python -m pytest -n 0 tests/edge_agent/test_store_migration_faults.py tests/edge_agent/test_store_key_change.py tests/tools/test_two_agents.py

hostile: $(DEV)
	HOSTILE_FRAMES=1000000 HOSTILE_MESSAGES=20000 $(BIN)/python -m pytest -n 0 -s tests/edge_agent/test_hostile_agent.py tests/edge_agent/test_hostile_broker.py tests/tools/test_collector_hostile.py

vm32:
	@tools/vm32/build.sh

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pyright --pythonpath $(BIN)/python -p pyrightconfig.node.json \
	  --typeshedpath "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
