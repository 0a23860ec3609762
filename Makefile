# Everything is run from here. `make help` lists the targets; the first use of a target makes the venv it needs.
#   .venv      the runtime dependencies alone (no torch): what `make serve` uses
#   .venv-train  training and export: what `make train` and `make export` use
#   .venv-dev  everything: training, export, tests, benchmarks, load tests
#   .venv-deploy  tools that check deploy/ and the dependencies
#   .venv-bench  baselines that need other versions of the same packages: transformers, optimum-onnx
# Each is brought up to date only when pyproject.toml or constraints.txt, or the last one's own list, has changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
USERS ?= 32
DURATION ?= 60s
URL ?= http://127.0.0.1:8000
IMAGE ?= attendant
# The versions of CUDA and cuDNN are those that onnxruntime-gpu in constraints.txt needs.
CUDA_BASE ?= nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04
FIGURES ?= reports
# Test files share up to four processes.
SHARED := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
DEV := .venv-dev/bin/python
# Outside a git checkout (a source archive) .gitignore is not read, and the venvs would be checked too.
RUFF_FILES := --extend-exclude '.venv*' .
TRAIN := .venv-train/bin/python
RUNTIME_READY := .venv/.ready
TRAIN_READY := .venv-train/.ready
IMPORT_READY := .venv-train/.hf
DEV_READY := .venv-dev/.ready
BENCH_READY := .venv-bench/.ready
DEPLOY_READY := .venv-deploy/.ready

# onnxruntime reports its use to Microsoft unless told not to.
export ORT_DISABLE_TELEMETRY := 1

##@ Use

.PHONY: serve
serve: $(RUNTIME_READY)  ## Serve the models in models/ on http://HOST:PORT (127.0.0.1:8000)
	@echo "Attendant starts on http://$(HOST):$(PORT) (Ctrl-C stops it)"
	@exec env ATTENDANT_HOST="$(HOST)" ATTENDANT_PORT="$(PORT)" .venv/bin/python -m service

.PHONY: train
train: $(if $(ROWS)$(RECIPE),,need-ROWS-or-RECIPE) $(TRAIN_READY)  ## Rows to run: ROWS=my.csv [MINUTES=5], or RECIPE=x.toml [DATA=data]; [RESUME=1] [RUN=runs/x] [FROM=encoder or run]
	@exec $(TRAIN) -m training fit "$(or $(ROWS),$(RECIPE))" $(if $(DATA),--data "$(DATA)") $(if $(MINUTES),--minutes "$(MINUTES)") \
		$(if $(RUN),--run-folder "$(RUN)") $(if $(filter-out 0,$(RESUME)),--resume,$(if $(FROM),--initialise-from "$(FROM)"))

.PHONY: export
export: need-RUN $(TRAIN_READY)  ## Run to artifact: RUN=runs/x [ARTIFACT=models/x] [DATA=data] [INT8=1] [FORCE=1]
	@exec $(TRAIN) -m export "$(RUN)" $(if $(ARTIFACT),"$(ARTIFACT)") $(if $(DATA),--data "$(DATA)") \
		$(if $(filter-out 0,$(INT8)),--int8) $(if $(filter-out 0,$(FORCE)),--force)

.PHONY: import
import: need-FROM $(IMPORT_READY)  ## Checkpoint of transformers or CTranslate2 to artifact: FROM=folder [ARTIFACT=models/x] [LANGUAGES=en-de] [INT8=1] [FORCE=1]
	@exec $(TRAIN) -m export from-hf "$(FROM)" "$(or $(ARTIFACT),models/$(notdir $(FROM:/=)))" \
		$(if $(LANGUAGES),--languages $(LANGUAGES)) $(if $(filter-out 0,$(INT8)),--int8) $(if $(filter-out 0,$(FORCE)),--force)

##@ Check

.PHONY: test
test: lint  ## Lint, types and tests: what CI runs; test files share up to four processes
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(DEV) -m pytest $(SHARED)

.PHONY: coverage
coverage: $(DEV_READY)  ## Tests with the coverage of service/ and export/; fails below the limit in pyproject.toml
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(DEV) -m pytest $(SHARED) --cov --cov-report=term

.PHONY: lint
lint: $(DEV_READY)  ## Lint, format check and types, without the tests
	$(DEV) -m ruff check $(RUFF_FILES)
	$(DEV) -m ruff format --check $(RUFF_FILES)
	$(DEV) -m mypy

.PHONY: format
format: $(DEV_READY)  ## Format the code and apply the safe lint fixes
	$(DEV) -m ruff check --fix-only $(RUFF_FILES)
	$(DEV) -m ruff format $(RUFF_FILES)

.PHONY: deploy-check
deploy-check: $(DEPLOY_READY)  ## Check deploy/ with the tools of Prometheus, Kubernetes, Grafana, nginx and systemd that are installed: [DEFINITIONS=folder]
	@exec .venv-deploy/bin/python deploy/check.py $(if $(DEFINITIONS),--definitions "$(DEFINITIONS)")

##@ Measure

.PHONY: bench
bench: $(DEV_READY) $(BENCH_READY)  ## Compare with other systems, offline and over HTTP (hours): [DATA=data] [FIGURES=reports]
	@failed=0; run() { echo "== $$1"; $(DEV) -m benchmarks."$${@:2}" --json "$(FIGURES)/$$1.json" || { \
		failed=$$?; echo "$$1 ended with status $$failed: an error, or a goal that is missed" >&2; }; }; \
	run cached-decoding offline.cached_decoding; \
	run startup http.startup; \
	run offline-base offline.translate; \
	$(if $(wildcard $(or $(DATA),data)),run offline-shipped offline.translate --shape shipped --data "$(or $(DATA),data)";) \
	run document http.document --data "$(or $(DATA),data)"; \
	run http-translate-shipped http.translate --data "$(or $(DATA),data)"; \
	run http-translate-base http.translate --shape base; \
	run http-classify http.classify --data "$(or $(DATA),data)"; \
	$(DEV) -m benchmarks.report "$(FIGURES)"/*.json --output "$(FIGURES)/report.html"; \
	exit "$$failed"

.PHONY: loadtest
loadtest: $(DEV_READY)  ## Load a running service: [USERS=32] [DURATION=60s] [URL=http://127.0.0.1:8000] [KEY=...]
	@exec $(DEV) -m loadtest --url "$(URL)" --users "$(USERS)" --duration "$(DURATION)" $(if $(KEY),--key "$(KEY)")

##@ Package

.PHONY: image
image:  ## Build the container image IMAGE=attendant (docker, podman or buildah; IMAGE_FLAGS are passed on)
	@deploy/docker/build_image.sh "$(IMAGE)"

.PHONY: image-gpu
image-gpu:  ## Build the image for NVIDIA GPUs, IMAGE-gpu: CUDA's base and runtime, the same entry point
	@IMAGE_FLAGS="--build-arg BASE=$(CUDA_BASE) $(IMAGE_FLAGS)" deploy/docker/build_image.sh "$(IMAGE)-gpu" --build-arg DEVICE=cuda

.PHONY: image-test
image-test:  ## Run the built image and check it from outside
	@$(PYTHON) deploy/docker/test_image.py "$(IMAGE)"

.PHONY: lock
lock: $(DEPLOY_READY)  ## Write requirements.lock: what the image installs, with the hashes of all files
	.venv-deploy/bin/uv pip compile --quiet pyproject.toml --extra grpc --extra otel --constraints constraints.txt \
		--generate-hashes --universal --python-version 3.11 --no-annotate --no-config --default-index https://pypi.org/simple \
		--custom-compile-command "make lock" --output-file requirements.lock

.PHONY: sbom
sbom: $(DEPLOY_READY)  ## Write reports/sbom.json: the packages of requirements.lock and the models, in CycloneDX
	@.venv-deploy/bin/python deploy/sbom.py reports/sbom.json

.PHONY: audit
audit: $(DEPLOY_READY)  ## Look the packages of requirements.lock up in PyPI's list of vulnerabilities
	.venv-deploy/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict

##@ Maintain

.PHONY: docs
docs: $(DEV_READY)  ## Write the generated tables and pictures of README.md and docs/
	$(DEV) -m docs.generator

.PHONY: clean
clean:  ## Delete caches and build leftovers; venvs, runs and models stay
	rm -rf build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

.PHONY: help
help:  ## Show this list
	@awk 'BEGIN { FS = ":.*##" } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*##/ { printf "  make %-12s%s\n", $$1, $$2 }' Makefile

# The venvs. A stamp is written last, so an interrupted install is taken up again.

$(RUNTIME_READY): pyproject.toml constraints.txt
	$(call install,.venv,-c constraints.txt .)

$(TRAIN_READY): pyproject.toml constraints.txt
	$(call install,.venv-train,-c constraints.txt '.[export]')

$(IMPORT_READY): $(TRAIN_READY)
	$(TRAIN) -m pip install --quiet -c constraints.txt '.[hf]'
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt
	$(call install,.venv-dev,-c constraints.txt -e '.[dev]')

$(BENCH_READY): benchmarks/baselines/requirements.txt
	$(call install,.venv-bench,-r benchmarks/baselines/requirements.txt)

$(DEPLOY_READY): deploy/requirements.txt
	$(call install,.venv-deploy,-r deploy/requirements.txt)

# $(call install,VENV,WHAT)
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Attendant needs Python 3.11 or later, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
			"Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Installing into $(1) (once; again only when $^ changes)"
	@$(1)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(1)
	$(1)/bin/python -m pip install --disable-pip-version-check $(2)
	@touch $@
endef

need-%:
	@[[ -n "$($*)" ]] || { echo "$(subst -, ,$*) is missing: see 'make help'" >&2; exit 2; }
