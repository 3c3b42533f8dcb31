# `make run` and `make test` set up everything they need: Python 3.11 or newer, and nothing else.
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help run cluster test quick newest lint types check apps gpu fuzz mutants bench contracts figures docs clean

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5,<1"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --editable ".[all]" --group dev
	@touch $@

run: $(READY)  ## ten clients on scikit-learn's digits: train, commit, rate, select
	$(BIN)/bcfl run

cluster: $(READY)  ## SuperLink, four SuperNodes, a real node: three rounds, audited
	$(BIN)/python -m bcfl.cluster

# Compiled files are kept, whatever the machine says: the suite starts many processes that import torch.
test: $(READY)  ## the whole suite, on two cores; a third process for what waits
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# What the suite imports, compiled once: else each of its processes does it.
.PHONY: compiled
compiled: $(READY) package
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --collect-only -qq >/dev/null

quick: $(READY)  ## the protocol and the keys, a minute; VENV=.venv313 PYTHON=python3.13 for another Python
	$(BIN)/python -m pytest tests/core tests/keys tests/consensus/spec tests/market/spec tests/test_public_api.py tests/test_house.py

newest:  ## with the newest Flower there is, what stands on Flower: strategies, mods, apps
	$(MAKE) VENV=.venv-newest .venv-newest/.ready
	.venv-newest/bin/uv pip install --quiet --python .venv-newest/bin/python --upgrade-package flwr "flwr[simulation]"
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest tests/apps tests/consensus/member tests/dropin tests/flower tests/strategies

# The package as it is installed, for tools that read files and import nothing.
.PHONY: package
package:
	@rm -rf build/package && mkdir -p build/package
	@cp -Rp bcfl build/package/
	@cp -Rp conf contracts strategies build/package/bcfl/

lint: $(READY) package  ## style, one-way imports, dependencies, compiled contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cd build/package && $(CURDIR)/$(BIN)/lint-imports --no-logo --cache-dir ../imports ../../pyproject.toml
	cd build/package && $(CURDIR)/$(BIN)/deptry --config ../../pyproject.toml .
	$(BIN)/python -m bcfl.contracts.build --check

types: $(READY) package  ## strict types, over the package as it is installed
	$(BIN)/mypy

check: lint types test  ## all that CI runs

apps: $(READY)  ## apps as Flower's examples are, plain and adopted; installs what they need
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --group apps
	$(BIN)/python -m tests.apps --all

gpu: $(READY)  ## runs on a GPU against the same on the CPU, on a machine that has one
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m gpu tests/experiment/test_gpu.py

fuzz: $(READY)  ## the suite, with a thousand examples of each property: hours
	BCFL_FUZZ=1 $(BIN)/python -m pytest --timeout=7200

mutants: $(READY)  ## change the contracts in one place at a time: does a test notice? hours
	$(BIN)/python -m tests.contracts.mutation

bench: $(READY)  ## gas, bytes and seconds of a round, measured here; ONLY="gas ray" for some of it
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmark $(ONLY)

contracts: $(READY)  ## compile the contracts anew
	$(BIN)/python -m bcfl.contracts.build

figures: $(READY)  ## figures 5 and 6 of the marketplace, from MNIST beside the project; else from digits, in build/
	$(BIN)/python -m bcfl.experiment.market.figures --out $(if $(wildcard ../shared/data/mnist/t10k-*.gz),notebooks,build)/figures

docs: $(READY)  ## README and guides executed, then a site in build/site; fails at any warning
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --group docs
	$(BIN)/python -m tests.notebooks
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --fresh-env . build/site

clean:  ## everything that was made here
	rm -rf $(VENV) .venv-newest build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
