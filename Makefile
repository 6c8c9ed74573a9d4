# `make demo` and `make test` set up what is missing first.
#   PYTHON   the Python to use, 3.11 or newer
#   FACES    two videos of one talking head each, for the benchmarks of raw video
#   TORCH    an index of PyTorch builds to install torch from, for a smaller CPU-only set-up or
#            another CUDA version (see the README)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH ?=

.PHONY: help setup demo test lint bench clean

help:
	@echo "make demo    set up what is missing, then run the whole system on data that it makes"
	@echo "make test    set up what is missing, then run the tests"
	@echo "make lint    style and types"
	@echo "make bench   benchmarks (minutes)"
	@echo "make setup   only set up: $(VENV), and the system library that OpenCV needs"
	@echo "make clean   remove what these made"

setup: $(READY)

$(READY): pyproject.toml scripts/setup.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" TORCH="$(TORCH)" sh scripts/setup.sh
	@touch $@

demo: $(READY)
	$(BIN)/quavf demo --out demo

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/bench.py $(if $(FACES),--faces $(FACES))

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache
