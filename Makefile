# `make demo` and `make test` set up what is missing first: the demo a light installation without
# torch, the tests everything.
#   PYTHON   the Python to use, 3.11 or newer
#   FACES    two videos of one talking head each, for the benchmarks of raw video
#   TORCH    an index of PyTorch builds to install torch from, for a smaller CPU-only set-up or
#            another CUDA version (see the README)
#   JOBS     how many processes run the tests; by default one for each core, at most 4

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LIGHT := $(VENV)/.light
READY := $(VENV)/.ready
SETUP := PYTHON="$(PYTHON)" VENV="$(VENV)" TORCH="$(TORCH)" sh scripts/setup.sh
TORCH ?=
JOBS ?= logical
# A module's tests stay in one process, so that its fixtures are made once. If a process dies, the
# tests end and name the one that it ran: with a new process in its place they could wait for ever.
PYTEST := $(BIN)/python -m pytest --numprocesses $(JOBS) --maxprocesses 4 --dist loadfile \
	--max-worker-restart 0

.PHONY: help setup demo test coverage lint docs bench fuzz kill clean

help:
	@echo "make demo      set up what is missing, then run the whole system on data that it makes"
	@echo "make test      set up what is missing, then run the tests"
	@echo "make coverage  the tests, and which lines they run"
	@echo "make lint      style and types"
	@echo "make docs      the documentation as a site, in site/"
	@echo "make bench     benchmarks (minutes)"
	@echo "make fuzz      damaged input for every reader, hostile clients for the live server (minutes)"
	@echo "make kill      kill every long command at random moments and resume it (minutes)"
	@echo "make setup     only set up $(VENV), with everything"
	@echo "make clean     remove what these made"

setup: $(READY)

$(LIGHT): pyproject.toml scripts/setup.sh
	$(SETUP) simulate
	@touch $@

$(READY): pyproject.toml scripts/setup.sh
	$(SETUP) dev
	@touch $(LIGHT) $@

demo: $(LIGHT)
	$(BIN)/quavf demo --out demo

test: $(READY)
	$(PYTEST)

coverage: $(READY)
	$(PYTEST) --cov=quavf --cov-report=term:skip-covered

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python -m mkdocs build --strict

bench: $(READY)
	$(BIN)/python benchmarks/bench.py $(if $(FACES),--faces $(FACES))

fuzz: $(READY)
	$(BIN)/python benchmarks/fuzz.py --inputs 500
	$(BIN)/python benchmarks/fuzz_live.py --messages 2000

kill: $(READY)
	$(PYTEST) -m slow tests/cli/test_commands_kill.py

clean:
	rm -rf $(VENV) demo site build dist .coverage .pytest_cache .mypy_cache .ruff_cache
