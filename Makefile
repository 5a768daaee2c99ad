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
export EXPERIMENT OUT DATA WEIGHTS WORKERS # the recipes take them from the shell: a value may hold spaces

.PHONY: help env local dashboard test test-system test-slurm test-image test-browser chaos bench bench-scale image lint lock clean
help: ## this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'
	@echo 'make local takes EXPERIMENT=, DATA=, WEIGHTS=, OUT=, WORKERS=; make test takes TESTS='

env: $(STAMP) ## the environment, from PyPI, by hashes
$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV) || { echo 'no venv: on Debian and Ubuntu, apt-get install python3-venv' >&2; exit 1; }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

local: $(STAMP) ## an experiment on this machine, from nothing to its report
	@$(JOB) local "$$EXPERIMENT" --out "$$OUT" $${DATA:+--data "$$DATA"} $${WEIGHTS:+--weights "$$WEIGHTS"} $${WORKERS:+--workers "$$WORKERS"}

PORT ?= 8080
dashboard: $(STAMP) ## Optuna's dashboard on what `make local` has in OUT, or on JOB_DATABASE_URL, to look at; takes OUT=, PORT=
	@$(JOB) dashboard $(if $(JOB_DATABASE_URL)$(JOB_DATABASE_URL_FILE),,--local "$$OUT") --port $(PORT)

# Long files first: whichever process is free takes the next one, so that none is left alone with a long one.
TESTS ?= tests/acceptance tests/faults tests/integration tests/unit tests/k8s
test: $(STAMP) ## the tests that need nothing but PyPI
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(TESTS)

test-system: $(STAMP) ## the tests that mount disks and need Debian's postgresql, openssl, locales, iproute2: as root
	$(VENV)/bin/python -m pytest tests/system

test-slurm: $(STAMP) ## the Slurm scripts on three real Slurms; needs Debian's munge, slurmctld, slurmd, slurm-client, shellcheck: as root
	$(VENV)/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=6 $(addprefix tests/slurm/test_,chain.py requeue.py interruptions.py)

test-image: $(STAMP) ## the container image, built and run for real; needs Debian's docker.io, debootstrap, charliecloud and those above: as root
	$(VENV)/bin/python -m pytest --timeout 900 --durations=0 --durations-min=5 tests/image

test-browser: $(STAMP) ## the report in a real browser; needs Debian's chromium, and node with npm
	cd tests/browser && npm ci --ignore-scripts --no-audit --no-fund --silent
	$(VENV)/bin/python -m pytest tests/browser

MINUTES ?= 2
SEED ?=
chaos: $(STAMP) ## a storm of kills, pauses and outages; takes MINUTES=, SEED=
	$(VENV)/bin/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

TORCH ?=
ROUNDS ?= 5
PARTS ?=
bench: $(STAMP) ## speed beside what one would write otherwise, table and OUT/bench.json; takes PARTS=, ROUNDS=, DATA=, TORCH=2.13.0 (installs PyTorch first)
	$(if $(TORCH),$(VENV)/bin/pip install --quiet --disable-pip-version-check torch==$(TORCH))
	$(VENV)/bin/python -m bench bench --out "$$OUT" --rounds $(ROUNDS) $${DATA:+--data "$$DATA"} $(if $(PARTS),--only $(PARTS))

bench-scale: $(STAMP) ## ten thousand trials, a thousand workers, beside stock Optuna; table and OUT/bench-scale.json; takes PARTS=, ROUNDS=
	$(VENV)/bin/python -m bench bench-scale --out "$$OUT" --rounds $(ROUNDS) $(if $(PARTS),--only $(PARTS))

# PIP_CERT and PIP_CONFIG_FILE, pip's own variables, are for a PyPI behind a proxy or a mirror; NETWORK=host for a Docker without a bridge.
DOCKER ?= docker
DEVICE ?= cpu
BASE ?= debian:bookworm-slim
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= image-tuning-job:$(VERSION)-$(DEVICE)
NETWORK ?=
, := ,
image: ## the container image; takes DEVICE=cpu|gpu, BASE=, IMAGE=, NETWORK=
	$(if $(filter cpu gpu,$(DEVICE)),,$(error DEVICE = $(DEVICE): expected cpu or gpu))
	DOCKER_BUILDKIT=1 $(DOCKER) build --tag $(IMAGE) --build-arg DEVICE=$(DEVICE) --build-arg BASE=$(BASE) --build-arg VERSION=$(VERSION) \
	  --build-arg COMMIT=$(shell git describe --always --abbrev=40 --dirty --exclude='*') $(if $(NETWORK),--network $(NETWORK)) \
	  $(if $(wildcard $(PIP_CONFIG_FILE)),--secret id=pip$(,)src=$(PIP_CONFIG_FILE)) $(if $(wildcard $(PIP_CERT)),--secret id=ca$(,)src=$(PIP_CERT)) .

lint: $(STAMP) ## formatting, imports, the Dockerfile
	$(VENV)/bin/ruff format --check job tests bench .ci
	$(VENV)/bin/ruff check job tests bench .ci
	$(VENV)/bin/hadolint Dockerfile

lock: ## the three locks anew, from pyproject.toml
	$(VENV)/bin/pip install --quiet uv
	set -e; compile="$(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml"; \
	$$compile --extra cpu --extra local --extra dev -o requirements-dev.lock; \
	$$compile --extra cpu -c requirements-dev.lock -o requirements.lock; \
	$$compile --extra gpu -c requirements-dev.lock -o requirements-gpu.lock

clean: ## remove the environment and the output of `make local`; takes OUT=
	@[ ! -e "$$OUT" ] || [ -f "$$OUT/.job-local" ] || { \
	  echo "OUT = $$OUT holds more than the output of \`make local\` (there is no .job-local in it), so nothing is removed:" \
	    "remove it yourself, or leave it by \`make clean OUT=\`" >&2; exit 1; }
	rm -rf -- $(VENV) "$$OUT" build *.egg-info
