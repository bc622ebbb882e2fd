# Every target does its own set-up: a virtual environment in .venv, made anew whenever pyproject.toml changes.

# The first of these that is Python 3.11 or newer; `make PYTHON=...` chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.bench-ready
# The differential suite waits most of its time, whatever the number of cores.
COMPARED_AT_ONCE ?= 4

.PHONY: help demo test lint format types bench wheel wheel-compiled clean

help:
	@echo "make demo    show the library at work against loopback upstreams"
	@echo "make test    run the tests"
	@echo "make wheel | wheel-compiled    for any Python, or compiled for this one, in dist/"
	@echo "make lint | format | types | bench | clean"

$(READY): pyproject.toml hatch_build.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (make PYTHON=/path/to/python3)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(READY)
	$(BIN)/python -m examples.billing.demo

test: $(READY)
	$(BIN)/python -m pytest --ignore=tests/parity -n auto
	$(BIN)/python -m pytest tests/parity -n $(COMPARED_AT_ONCE) --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

bench: $(BENCH_READY)
	$(BIN)/python -m benchmarks compare

wheel: $(READY)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# From a copy: mypyc leaves what it makes beside the sources, where every later import would find it.
wheel-compiled: $(READY)
	rm -rf build/source
	mkdir -p build/source
	cp -R ambassador_lib pyproject.toml hatch_build.py README.md LICENSE build/source
	HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist build/source

clean:
	rm -rf $(VENV) .venv-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf examples/billing/certs examples/billing/envoy.yaml
