# slapkit: `make help` lists what can be made. Everything happens inside the clone (.venv, data, runs), but
# for a copy of musicnn's weights in ~/.cache/slapkit.

PYTHON ?= python3
SIZE   ?= quick
STEPS  ?=
SEEDS  ?=
DATA   := data/scores-$(SIZE)
TRAIN  := $(if $(STEPS),-p steps=$(STEPS)) $(if $(SEEDS),-p seeds=$(SEEDS))
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.slapkit-installed

# pip's notice of its own updates is of no use in an environment of exact versions.
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help run listen train-slap train-clap explore search claims test lab app lint docs constraints

help:  ## list these commands
	@echo "slapkit: train and measure joint music-text embeddings. Commands:"
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | \
		awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo "Variables: PYTHON=python3.12 (interpreter for a new .venv), SIZE=smoke|quick|medium|full, STEPS=200 and SEEDS=1 (make run)."

run: $(STAMP)  ## build the corpus, train SLAP and CLAP on it, map and search, write runs/index.html
	@$(PY) -m slapkit corpus --size $(SIZE)
	@$(MAKE) --no-print-directory -j 3 listen train-slap train-clap
	@$(MAKE) --no-print-directory -j 2 explore search
	@$(PY) -m slapkit report

# Some at a time, as one notebook alone leaves a core half idle. One alone shows progress: bars would share a line. CLAP's
# waits for what SLAP's encodes. Threads of numpy's matrix products spin while they wait: one each, or two notebooks that
# measure take twice as long.
listen train-slap train-clap explore search: export OPENBLAS_NUM_THREADS ?= 1
listen:
	@$(PY) -m slapkit run 01_corpus -p data=$(DATA) --quiet
train-slap:
	@$(PY) -m slapkit run 02_train -p data=$(DATA) -p objective=slap $(TRAIN)
train-clap:
	@$(PY) -m slapkit run 02_train -p data=$(DATA) -p objective=clap $(TRAIN) --quiet
explore:
	@$(PY) -m slapkit run 03_explore -p data=$(DATA)
search:
	@$(PY) -m slapkit run 04_search -p data=$(DATA) --quiet

claims: CLAIMS := $(if $(filter command line environment,$(origin SIZE)),$(SIZE),cpu)
claims: $(STAMP)  ## hold every claim of the paper against a sweep of runs (SIZE=smoke, cpu or gpu)
	@$(PY) -m slapkit corpus --size $(if $(filter smoke,$(CLAIMS)),smoke,$(if $(filter gpu,$(CLAIMS)),full,quick))
	@$(PY) -m slapkit claims --size $(CLAIMS)

test: $(STAMP)  ## run all tests, the slow ones too (fast ones alone: .venv/bin/pytest)
	@$(PY) -m pytest --slow --numprocesses 2 --dist loadfile --no-loadscope-reorder

lab: $(STAMP)  ## open JupyterLab on the notebooks
	@$(PY) -m jupyter lab --notebook-dir=notebooks

app: $(STAMP)  ## open the map and the search bench as web pages, without Jupyter
	@$(PY) -m slapkit app

lint: $(STAMP)  ## check the imports and the style of the code
	@$(dir $(PY))lint-imports
	@$(PY) -m ruff check slapkit tests benchmarks docs/hooks.py setup.py
	@$(PY) -m ruff format --check slapkit tests benchmarks docs/hooks.py setup.py

docs: $(STAMP)  ## build the documentation in build/site, without the network, its links checked
	@NO_MKDOCS_2_WARNING=true $(PY) -m mkdocs build --strict

constraints: $(STAMP)  ## write constraints.txt from what is installed in .venv
	@$(PY) -m pip freeze --all --exclude pip --exclude-editable > constraints.new
	@# A build for one device ("2.13.0+cpu") is the same version elsewhere.
	@{ echo "# The exact versions that were tested (Python 3.11, Linux). Made by \`make constraints\`."; \
		sed 's/+.*//' constraints.new; } > constraints.txt && rm constraints.new

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "slapkit needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(PY) || { echo "Creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is missing: on Debian and Ubuntu install python3-venv"; rm -rf $(VENV); exit 1; }; }
	@echo "Installing slapkit and what it needs into $(VENV) (several minutes the first time)"
	@# Twice quiet: errors only. What pip warns of comes from the machine's own settings, once a package.
	@$(PY) -m pip install -qq -c constraints.txt -e ".[test,tensorboard]"
	@# Weights alone: what the package asks for, TensorFlow among it, is not needed.
	@$(PY) -m pip install -qq -c constraints.txt --no-deps musicnn
	@# Renders the score corpus in half the time; it asks for an audio device's library that is not needed.
	@$(PY) -m pip install -qq -c constraints.txt --no-deps --only-binary :all: tinysoundfont || \
		echo "tinysoundfont has no build for this Python: midirenderer, which is slower, will render the corpus"
	@$(PY) -m slapkit.environment
	@touch $@
