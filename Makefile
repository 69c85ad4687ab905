# The whole project from the command line: `make` lists what there is.
# One thread a process in the tests, so that timings and last bits do not depend on the machine.
SHELL := /bin/bash
PYTHON := .venv/bin/python
TWIN := .venv/bin/twin
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
PYTEST := $(ONE_THREAD) $(PYTHON) -m pytest
# More arguments, e.g. make test ARGS="-k mesh -x" or make bench ARGS="--only mesh,run"
ARGS :=

.PHONY: help setup demo test test-slow bench mesh-comparison lint clean

help:
	@echo "make demo       set up, then the main job: six treatments of one brain tumour, pictures, a report"
	@echo "make test       set up, then every quick test"
	@echo "make test-slow  the tests that take longer"
	@echo "make bench      the benchmarks: seconds, memory and accuracy against what the project promises"
	@echo "make mesh-comparison  our mesher beside others, which are fetched into .venv-mesh for it"
	@echo "make lint       ruff and mypy"
	@echo "make clean      remove the demo's results and what tools left behind (.venv stays)"

setup:
	@tools/setup.sh

# The main job, one command a line; each is shown before it runs. What is finished is not run again.
define DEMO
$(TWIN) run demo/study.toml -o demo/results
$(TWIN) train demo/study.toml -o demo/model
$(TWIN) whatif demo/model --set radiotherapy.fractions=25
$(TWIN) compare demo/results
$(TWIN) report demo/results -o demo/report.html --pictures demo/pictures --model demo/model
endef
export DEMO

demo/study.toml: | setup
	$(TWIN) init --example glioblastoma demo

demo: demo/study.toml
	@set -e; while read -r line; do echo; echo "\$$ $$line"; $$line </dev/null; done <<<"$$DEMO"

test: setup
	@$(PYTEST) -m "not slow" $(ARGS)

test-slow: setup
	@$(PYTEST) -m slow $(ARGS) || [ $$? = 5 ] # 5: there are none

bench: setup
	@PYTHONPATH=tests $(PYTHON) -m benchmarks $(ARGS)

# Other meshers never come with the project: they are put beside it, each alone, and may be missing.
mesh-comparison: setup
	@sed -e 's/ *#.*//' -e '/^$$/d' tools/mesh_comparison/requirements.txt | while read -r package; do \
	  $(PYTHON) -m pip install -q --no-deps --upgrade --target .venv-mesh "$$package" </dev/null \
	  || echo "$$package could not be installed and is left out"; done
	@PYTHONPATH=$(CURDIR)/.venv-mesh $(ONE_THREAD) $(PYTHON) tools/mesh_comparison/compare.py $(ARGS)

lint:
	@tools/setup.sh dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

clean:
	rm -rf demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
