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
DIST ?= dist
CAN_COMPILE = command -v cc >/dev/null && $(BIN)/python -c \
	'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'

.PHONY: help demo test lint format types bench wheel wheel-compiled compiled clean

help:
	@echo "make demo    show the library at work against loopback upstreams"
	@echo "make test    run the tests"
	@echo "make wheel | wheel-compiled    for any Python, or compiled for this one, in dist/"
	@echo "make lint | format | types | bench | clean"
	@echo "make compiled    what bench measures beside the interpreted library, in build/compiled"

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

bench: $(BENCH_READY) compiled
	$(BIN)/python -m benchmarks compare

wheel: $(READY)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# From a copy: mypyc leaves what it makes beside the sources, where every later import would find it.
COMPILE = rm -rf build/source && mkdir -p build/source && \
	cp -R ambassador_lib pyproject.toml hatch_build.py README.md LICENSE build/source && \
	HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(BIN)/python -m pip wheel --quiet --no-deps build/source --wheel-dir

wheel-compiled: $(READY)
	$(COMPILE) $(DIST)

# Into build/compiled, where the benchmarks find it; what is there and of these sources is left.
compiled: $(READY)
	@if $(BIN)/python -m benchmarks.compiled 2>/dev/null; then exit; fi; \
	rm -rf build/compiled build/wheel; \
	if $(CAN_COMPILE); then \
		$(COMPILE) build/wheel && \
		$(BIN)/python -m zipfile -e build/wheel/*.whl build/compiled && $(BIN)/python -m benchmarks.compiled; \
	else \
		printf '\n!!! No C compiler or no headers of Python here: the compiled library is not measured !!!\n\n' >&2; \
	fi

clean:
	rm -rf $(VENV) .venv-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf examples/billing/certs examples/billing/envoy.yaml
