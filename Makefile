# The two commands a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export GALADAPT_DATA ?= $(abspath ../shared/data)
# Containers run users without a name, or without a home to write to: the project gives them one.
ifneq ($(shell test -n "$$HOME" -a "$$HOME" != / -a -w "$$HOME" && echo yes),yes)
export HOME := $(CURDIR)/.home
export XDG_CACHE_HOME := $(CURDIR)/.home/cache
$(shell mkdir -p $(CURDIR)/.home/cache)
endif
ifneq ($(shell id -un >/dev/null 2>&1 && echo yes),yes)
export USER ?= galadapt
endif
CORES ?= all
PRESET ?=
PYTHON312 ?= python3.12
MODEL ?= results/runs/galaxies/asinh/transfer/seed1
COUNT ?= 1000
CONFIGFILE := $(if $(PRESET),--configfile config/presets/$(PRESET).yaml)
PRESETS := $(basename $(notdir $(wildcard config/presets/*.yaml)))
TASKS := $(patsubst workflow/rules/data_%.smk,%,$(wildcard workflow/rules/data_*.smk))
OTHERS := $(filter-out galaxies,$(TASKS))
# The task is the target's, or the one that a preset's name begins with.
TASK ?= $(filter $(OTHERS),$(firstword $(subst _, ,$(PRESET))))
MILESTONES = $(addprefix $(if $(TASK),$(TASK)_),data models tables) record
FILES = config/$(or $(TASK),config).yaml $(if $(PRESET),config/presets/$(PRESET).yaml)
RESULTS = $(if $(PRESET),results/presets/$(PRESET),results$(if $(TASK),/$(TASK)))

# Results get versions where there are versions of the code: a source archive has none.
VERSION = if test -e .git; then dvc commit --force --quiet $(MILESTONES); else echo "No git repository here: DVC keeps no version of these results."; fi

.PHONY: help env env-gpu demo run $(OTHERS) test bench-simulation bench-extraction bench-prediction bench-training bench-trust bench-refinement bench-fitters lint format lock docs wheel document mlflow clean

help: ## list the targets
	@sed -nE 's/^([a-z -]+|\$$\(OTHERS\)):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | sed 's/$$(OTHERS)/$(OTHERS)/' | expand -t 18

env: .venv/ready ## create the environment from the hash-locked file

.venv/ready: envs/cpu.txt envs/bootstrap.txt pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"galadapt needs Python 3.11 to 3.13, not {v[0]}.{v[1]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r envs/bootstrap.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes envs/cpu.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

env-gpu: env ## add JAX for NVIDIA GPUs to the environment (presets with compute.backend: jax)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r envs/gpu.txt

demo: env ## the default experiment, end to end: about 17 minutes on 2 cores
	snakemake --cores $(CORES) all
	@galadapt show results
	@$(VERSION)

run: env ## another experiment: make run PRESET=cosmos, or PRESET=stars_smoke
	@test -z "$(PRESET)" -o -f "config/presets/$(PRESET).yaml" || { echo "no preset '$(PRESET)'; there are: $(PRESETS)"; exit 2; }
	snakemake $(or $(TASK),all) --cores $(CORES) $(CONFIGFILE)
	@galadapt show $(RESULTS)
	@$(if $(PRESET),,$(VERSION))

$(OTHERS): ## another task's experiment; PRESET= gives one of its presets
	@$(MAKE) run TASK=$@ PRESET=$(PRESET)

test: env ## the whole test suite in two processes: modules, then the workflow
	pytest -n 2 --dist loadscope tests/unit
	pytest -n 2 --dist loadscope tests/workflow

bench-simulation: env ## stamps per second of every renderer, and an independent fit of their stamps
	python benchmarks/simulation/bench.py --output results/benchmarks/simulation.csv
	python benchmarks/simulation/recovery.py --output results/benchmarks/recovery.csv

bench-extraction: env ## stamps cut from a large mosaic per second, with one and two processes
	python benchmarks/extraction/bench.py

bench-prediction: env ## galaxies per second of galadapt predict, end to end on one core
	python benchmarks/prediction/throughput.py

bench-training: env ## stamps per second of training, and the time spent on feeding
	python benchmarks/training/throughput.py

bench-refinement: env ## scatter, errors and time of the refinement by the pixels
	python benchmarks/refinement/bench.py

bench-trust: env ## what galadapt predict's flags miss, and what they cost: MODEL=folder of a package
	python benchmarks/trust/bench.py --model $(MODEL)

bench-fitters: env .venv-fitters/ready ## compare galadapt with profile fitters: MODEL=folder COUNT=stamps
	python benchmarks/fitters/bench.py --model $(MODEL) --count $(COUNT) $(if $(PRESET),--config config/config.yaml config/presets/$(PRESET).yaml)

.venv-fitters/ready: envs/fitters.txt | env
	$(PYTHON312) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v == (3, 12) else f"the fitters need Python 3.12, not {v[0]}.{v[1]}: make PYTHON312=python3.12")'
	$(PYTHON312) -m venv .venv-fitters
	$(BIN)/uv pip sync --quiet --python .venv-fitters/bin/python --compile-bytecode --require-hashes envs/fitters.txt
	touch $@

lint: env ## every static check
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	snakemake --lint

format: env ## format the sources
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

document: env ## regenerate config/README.md and config/schema.json
	galadapt document config

docs: env ## build the documentation: docs/_build/html
	sphinx-build -W --keep-going -q -b html -d docs/_build/doctrees docs docs/_build/html

wheel: env ## build the wheel: dist/
	python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

mlflow: env ## compare runs in the browser, on this machine only
	-galadapt track $(FILES)
	galadapt mlflow $(FILES)

lock: ## compile pyproject.toml and envs/*.in into hash-locked files (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header envs/bootstrap.in --output-file envs/bootstrap.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml --extra dev --output-file envs/cpu.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml --extra dev --extra gpu --output-file envs/gpu.txt
	uv pip compile --universal --python-version 3.12 --generate-hashes --no-annotate --no-header --excludes envs/fitters-without.txt envs/fitters.in --output-file envs/fitters.txt

clean: ## remove everything computed
	git clean -fdXq results .snakemake mlartifacts mlruns mlflow.db mlflow.lock
