# make demo   set up, predict and sample with the delivered models, then train cross-attention, additive and unconditional GPT
#             on the embedded crystals, sample, report
# make test   set up, run the tests that take less than ten seconds
# make slow   set up, run the others: whole trainings, fresh environments, the page in a browser
# make lint   ruff and mypy        make docs   the site, offline        make coverage   lines that no test runs
# make clean  remove the environment and caches

PYTHON ?= python3
# test processes: each takes a gigabyte, and some tests start processes of their own
TESTERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
CHECKED := core plugins src tests benchmarks examples setup.py

.PHONY: demo test slow lint docs coverage clean

demo: $(STAMP)
	$(BIN)/crystalfw models
	$(BIN)/crystalfw predict NaCl SrTiO3 TiO2 -n 3
	$(BIN)/crystalfw predict NaCl SrTiO3 TiO2 LiFePO4 MgAl2O4 -n 1 -o runs/first/predicted
	$(BIN)/crystalfw predict-properties mp-energies runs/first/predicted/cifs
	$(BIN)/crystalfw sample mp-property --condition band_gap=2.0 --n 12 -o runs/first/band_gap_2/samples.csv
	$(BIN)/crystalfw predict-properties mp-energies runs/first/band_gap_2/cifs
	$(BIN)/crystalfw ablate recipes/ablations/demo.yaml --out runs/demo --threads 1

test: $(STAMP)
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal -m "not slow"

slow: $(STAMP)
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal -m slow

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DEV_STAMP)
	$(BIN)/python docs/build.py

# Compiled functions (numba) count as not run: only Python lines are traced.
coverage: $(DEV_STAMP)
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal -m "not slow" --cov --cov-report=term:skip-covered --cov-report=html:build/coverage

clean:
	rm -rf $(VENV) build dist site .coverage .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info models/build models/src/*.egg-info

$(BIN)/python:
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 10) else 'crystalfw needs Python 3.10 or newer: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv $(VENV)

# The key is the content of these files: a fresh checkout has new times but need not install again. The models are part of the
# checkout: they need no index and no network.
KEY := pyproject.toml setup.py models/pyproject.toml $(wildcard models/src/crystalfw_models/*/card.json)
$(STAMP): $(KEY) | $(BIN)/python
	@if [ "$$(cat $(KEY) | cksum)" = "$$(cat $@ 2>/dev/null)" ]; then touch $@; else \
	  $(BIN)/python -m pip install --quiet --upgrade pip && $(BIN)/python -m pip install -e ".[test]" \
	  && $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation ./models \
	  && cat $(KEY) | cksum > $@; fi

$(DEV_STAMP): $(STAMP)
	@if [ "$$(cat $(STAMP))" = "$$(cat $@ 2>/dev/null)" ]; then touch $@; else \
	  $(BIN)/python -m pip install -e ".[dev]" && cp $(STAMP) $@; fi
