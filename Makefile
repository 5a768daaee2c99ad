# `make` alone prints this help.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
JOB := $(VENV)/bin/job

EXPERIMENT ?= examples/quick.toml
OUT ?= out
DATA ?=
WEIGHTS ?=
WORKERS ?=
# The recipes read these from the shell, because a value may hold spaces.
export EXPERIMENT OUT DATA WEIGHTS WORKERS

.PHONY: help env local dashboard test test-fast coverage test-system test-slurm test-image test-browser chaos bench bench-scale image docs lint lock clean
help: ## print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'
	@echo 'make local takes EXPERIMENT=, DATA=, WEIGHTS=, OUT=, WORKERS=; make test takes TESTS='

env: $(STAMP) ## install the environment from PyPI; every package is checked by its hash
$(STAMP): requirements-dev.lock pyproject.toml
	@echo '[1/3] creating the virtual environment $(VENV)'
	@$(PYTHON) -m venv $(VENV) || { echo '$(PYTHON) cannot create $(VENV): on Debian and Ubuntu, run apt-get install python3-venv' >&2; exit 1; }
	@echo "[2/3] installing $$(grep -c '^[a-z0-9].*==' requirements-dev.lock) packages from PyPI; this takes minutes"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@echo '[3/3] installing job'
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

local: $(STAMP) ## run an experiment on this machine, from nothing to its report
	@$(JOB) local "$$EXPERIMENT" --out "$$OUT" $${DATA:+--data "$$DATA"} $${WEIGHTS:+--weights "$$WEIGHTS"} $${WORKERS:+--workers "$$WORKERS"}

PORT ?= 8080
dashboard: $(STAMP) ## serve Optuna's dashboard, read-only, for the output of `make local` in OUT or for JOB_DATABASE_URL; takes OUT=, PORT=
	@$(JOB) dashboard $(if $(JOB_DATABASE_URL)$(JOB_DATABASE_URL_FILE),,--local "$$OUT") --port $(PORT)

# Long files first: an idle process takes the next file, so no process ends alone with a long one.
TESTS ?= tests/acceptance tests/faults tests/integration tests/unit tests/k8s
# Tests also wait: two workers per core of a small machine keep it busy.
PYTEST = -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(TESTS)
test: $(STAMP) ## run the tests that need only PyPI
	$(VENV)/bin/python $(PYTEST)

test-fast: $(STAMP) ## run the tests that need no server, in less than a minute: for each save
	$(VENV)/bin/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile -m 'not slow' tests/unit

# A tracer takes memory, and time at the exit; these two tests limit them.
UNTRACED = --deselect tests/acceptance/test_errors.py::test_no_memory_to_begin_with \
  --deselect tests/faults/test_interrupt.py::test_the_second_signal_leaves_at_once
coverage: $(STAMP) ## run these tests traced, and list the lines of five rooms that no process reached
	$(VENV)/bin/coverage erase
	$(VENV)/bin/coverage run $(PYTEST) $(UNTRACED)
	$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage report

test-system: $(STAMP) ## run the tests that mount disks; as root; needs Debian's postgresql, openssl, locales, iproute2
	$(VENV)/bin/python -m pytest tests/system

test-slurm: $(STAMP) ## test the Slurm scripts on three real Slurms; as root; needs Debian's munge, slurmctld, slurmd, slurm-client, shellcheck
	$(VENV)/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=6 $(addprefix tests/slurm/test_,chain.py requeue.py interruptions.py)

test-image: $(STAMP) ## build and run the container image; as root; needs Debian's docker.io, debootstrap, charliecloud and those above
	$(VENV)/bin/python -m pytest --timeout 900 --durations=0 --durations-min=5 tests/image

test-browser: $(STAMP) ## test the report in a real browser; needs Debian's chromium, and node with npm
	cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund --silent
	$(VENV)/bin/python -m pytest tests/browser

MINUTES ?= 2
SEED ?=
chaos: $(STAMP) ## run a storm of kills, pauses and outages; takes MINUTES=, SEED=
	$(VENV)/bin/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

TORCH ?=
ROUNDS ?= 5
PARTS ?=
bench: $(STAMP) ## compare speed with the usual alternatives: a table and OUT/bench.json; takes PARTS=, ROUNDS=, DATA=, TORCH=2.13.0 (installs PyTorch first)
	$(if $(TORCH),$(VENV)/bin/pip install --quiet --disable-pip-version-check torch==$(TORCH))
	$(VENV)/bin/python -m bench bench --out "$$OUT" --rounds $(ROUNDS) $${DATA:+--data "$$DATA"} $(if $(PARTS),--only $(PARTS))

bench-scale: $(STAMP) ## compare 10,000 trials and 1,000 workers with stock Optuna: a table and OUT/bench-scale.json; takes PARTS=, ROUNDS=
	$(VENV)/bin/python -m bench bench-scale --out "$$OUT" --rounds $(ROUNDS) $(if $(PARTS),--only $(PARTS))

# pip's own PIP_CERT and PIP_CONFIG_FILE serve a PyPI behind a proxy or a mirror. NETWORK=host serves
# a Docker without a bridge.
DOCKER ?= docker
DEVICE ?= cpu
BASE ?= debian:bookworm-slim
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= image-tuning-job:$(VERSION)-$(DEVICE)
NETWORK ?=
, := ,
image: ## build the container image; takes DEVICE=cpu|gpu, BASE=, IMAGE=, NETWORK=
	$(if $(filter cpu gpu,$(DEVICE)),,$(error DEVICE = $(DEVICE): expected cpu or gpu))
	DOCKER_BUILDKIT=1 $(DOCKER) build --tag $(IMAGE) --build-arg DEVICE=$(DEVICE) --build-arg BASE=$(BASE) --build-arg VERSION=$(VERSION) \
	  --build-arg COMMIT=$(shell git describe --always --abbrev=40 --dirty --exclude='*') $(if $(NETWORK),--network $(NETWORK)) \
	  $(if $(wildcard $(PIP_CONFIG_FILE)),--secret id=pip$(,)src=$(PIP_CONFIG_FILE)) $(if $(wildcard $(PIP_CERT)),--secret id=ca$(,)src=$(PIP_CERT)) .

docs: $(STAMP) ## write the tables of docs/reference from the code
	$(VENV)/bin/python docs/generate.py

lint: $(STAMP) ## check formatting, lint, types, spelling and the Dockerfile
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/basedpyright --level error
	$(VENV)/bin/codespell
	$(VENV)/bin/hadolint Dockerfile

lock: ## write the three locks again from pyproject.toml
	$(VENV)/bin/pip install --quiet uv
	set -e; compile="$(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml"; \
	$$compile --extra cpu --extra formats --extra local --extra dev -o requirements-dev.lock; \
	$$compile --extra cpu --extra formats -c requirements-dev.lock -o requirements.lock; \
	$$compile --extra gpu --extra formats -c requirements-dev.lock -o requirements-gpu.lock

clean: ## remove the environment and the output of `make local`; takes OUT=
	@[ ! -e "$$OUT" ] || [ -f "$$OUT/.job-local" ] || { \
	  echo "OUT = $$OUT holds more than the output of \`make local\` (it has no .job-local), so nothing is removed:" \
	    "remove it yourself, or keep it with \`make clean OUT=\`" >&2; exit 1; }
	rm -rf -- $(VENV) "$$OUT" build *.egg-info
