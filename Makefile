# Thin names for what Edgewise does; `make` alone lists them.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
export DVC_NO_ANALYTICS := 1
export TF_CPP_MIN_LOG_LEVEL := 2
export TF_ENABLE_ONEDNN_OPTS := 1
export MLFLOW_DISABLE_TELEMETRY := true

# What people give reaches a recipe through the environment, letter for letter: pasted into its text, a quote in a path
# would end the word and what follows it would be run.
GIVEN := SOURCE FERPLUS SET MODEL DEMO_SECONDS CAMERA PORT MINUTES WORKERS TESTS BASE FAULTS SHADOW SCENE PORTS WITHOUT RETRAIN_CAUSE RETRAIN_FIELD RETRAIN_RUN RETRAIN_CHAMPION PACKAGE GROUP REASON PLAN ARCH
$(foreach name,$(GIVEN),$(if $(filter undefined,$(origin $(name))),,$(eval override $(name) := $$(value $(name)))))
export $(GIVEN)

help:  ## This list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

# --- set up ---------------------------------------------------------------------------------------------------------
setup:  ## Virtual environment with pinned packages, and mosquitto
	@deploy/setup-host.sh $(VENV) requirements/host.txt --with-mosquitto

setup-dev: setup
	@deploy/setup-host.sh $(VENV) requirements/dev.txt

setup-qat:  ## Environment for quantization-aware training (quantize.method: qat)
	@deploy/setup-host.sh .venv-qat requirements/qat.txt --python python3.11

setup-tflite:
	@deploy/setup-host.sh .venv-tflite requirements/edge-tflite.txt --python python3.11

# --- the main job ---------------------------------------------------------------------------------------------------
demo: setup setup-tflite  ## Everything at once: train, quantize, release, push, run, watch (DEMO_SECONDS=60, CAMERA=0)
	@$(PYTHON) -m demo $(if $(DEMO_SECONDS),--seconds "$$DEMO_SECONDS") $(if $(CAMERA),--camera "$$CAMERA")

data: setup  ## Read a dataset: SOURCE=fer2013.csv [FERPLUS=fer2013new.csv] | a folder | a zip | synthetic:N
	@$(if $(SOURCE),,$(error name the data, such as: make data SOURCE=fer2013.csv))
	@$(PYTHON) -m train.prepare --source "$$SOURCE" $(if $(FERPLUS),--ferplus "$$FERPLUS") --remember
	@if $(PYTHON) -m convert.checkout; then PATH="$(abspath $(VENV))/bin:$$PATH" dvc commit --quiet --force prepare; fi

runs: setup  ## MLflow's page of every training and model version, on 127.0.0.1 (PORT=5000)
	@PYTHONWARNINGS=ignore $(VENV)/bin/mlflow ui --workers 1 --port "$${PORT:-5000}" \
	  --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

up-local: setup  ## Broker, bridge, Prometheus, Alertmanager, MLflow on 127.0.0.1 (PORTS="prometheus=9091", WITHOUT=mlflow)
	@set -f; for port in $$PORTS; do given+=(--port "$$port"); done; for part in $$WITHOUT; do given+=(--without "$$part"); done; \
	  $(PYTHON) -m demo.up_local --registry "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" "$${given[@]}"

pipeline: setup setup-tflite  ## prepare, train, evaluate, quantize, gate, package: whatever is out of date
	@PATH="$(abspath $(VENV))/bin:$$PATH" dvc repro

train: setup  ## Train, or go on from the last epoch (SET="epochs=40 seed=2" goes before params.yaml)
	@set -f; for change in $$SET; do changes+=(--set "$$change"); done; $(PYTHON) -m train.fit --set-aside "$${changes[@]}"

evaluate: setup  ## Score on the test split: the trained network, or MODEL=models/emotion-5.ewm
	@$(PYTHON) -m train.evaluate $(if $(MODEL),--model "$$MODEL")

quantize: setup  ## float and int8 TFLite with a report per layer
	@$(PYTHON) -m convert.quantize

gate: setup setup-tflite  ## Refuse an int8 model that must not ship (exit code 3)
	@$(PYTHON) -m convert.gate

package: setup  ## One .ewm of model, manifest and card
	@$(PYTHON) -m convert.package

retrain: setup setup-tflite  ## Train on from the champion: RETRAIN_CAUSE=dark RETRAIN_FIELD=folder RETRAIN_RUN=id; JSON is its last line
	@$(PYTHON) -m convert.retrain

summary: setup  ## What the last retraining (or RETRAIN_RUN=id) was worth, as Markdown
	@$(PYTHON) -m convert.summary

pull: setup  ## Data and models of this commit from the remote (docs/pipeline.md)
	@$(VENV)/bin/dvc pull

push-data: setup  ## Data and models of this commit to the remote
	@$(VENV)/bin/dvc push

tune: setup  ## Search hyperparameters with Optuna
	@$(PYTHON) -m train.tune

install-agent:  ## Install the agent on this device as a systemd service (asks for sudo)
	@sudo deploy/install-agent

face-detector: setup  ## Fetch the YuNet face detector (MIT) and check its digest
	@$(PYTHON) -m edge_vision.fetch_detector

# --- quality --------------------------------------------------------------------------------------------------------
check: setup-dev  ## Format, lint, types, walls between roles
	$(VENV)/bin/ruff format --check --quiet
	$(VENV)/bin/ruff check --quiet
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache | grep -E 'KEPT|BROKEN|kept|->|^ *-' ; exit $${PIPESTATUS[0]}

test: setup-dev setup-tflite  ## The whole test suite, on emulated 64-bit Arm too where QEMU is installed
	@$(if $(TESTS),,deploy/arm64/devices.sh $(PYTHON) build/arm64)
	@$(if $(TESTS),,$(PYTHON) -m compileall -q edge_* train convert demo)  # or a thousand children would each do it again
	@set -f; $(PYTHON) -m pytest -n "$${WORKERS:-4}" --dist loadgroup $$TESTS

test-slow: setup-dev setup-tflite  ## Minutes rather than seconds: kills at every step, and what else is marked slow
	@set -f; $(PYTHON) -m pytest -n "$${WORKERS:-4}" --dist loadgroup -m slow --ignore=tests/arm64 $$TESTS

test-faults: setup-dev  ## What a device survives: kills, power cuts, bad disks, mutants, bad models, sampled faces (FAULTS="--only kills")
	@set -f; $(PYTHON) -m tests.faults $$FAULTS

# --- figures: every one that is claimed is printed by one of these, beside a peer measured in the same run -------------
test-road: setup-dev setup-tflite  ## The whole road: clone, train, release, new light, labels, retrain, roll out; a turned camera is no training
	@$(PYTHON) -m demo.road

bench-model: setup-dev setup-tflite  ## Size, latency, share of the core's peak, Arm instructions of each network
	@$(PYTHON) -m benchmarks.model

bench-train: setup-dev  ## One training as threads and as processes (PyTorch)
	@$(PYTHON) -m benchmarks.training

bench-agent: setup-dev  ## The agent beside the usual loop and the `fer` package (MINUTES=10 of the memory run; SHADOW=1; SCENE=1)
	@$(PYTHON) -m benchmarks.agent $(if $(MINUTES),--minutes "$$MINUTES") $(if $(SHADOW),--shadow) $(if $(SCENE),--scene)

bench-bridge: setup-dev  ## The bridge beside paho alone, a labels() bridge and mqtt2prometheus; 10,000 devices; kills and locks
	@$(PYTHON) -m benchmarks.bridge

bench-dashboard: setup-dev  ## First paint with 1,000 devices, the table of 10,000 searched and sorted, in Chromium
	@$(PYTHON) -m benchmarks.dashboard

bench-alerting: setup-dev  ## From a device that is gone to the webhook of its alert
	@$(PYTHON) -m benchmarks.alerting

bench-push: setup-dev  ## A model to a thousand devices, and other ways beside it
	@$(PYTHON) -m benchmarks.push

bench-rollout: setup-dev  ## A thousand good rollouts and bad ones: wrongly halted, caught, and the faces it took
	@$(PYTHON) -m benchmarks.rollout

bench-drift: setup-dev  ## Drift: false alarms, people until a change is found, causes, accuracy without labels (after `make data`)
	@$(PYTHON) -m benchmarks.drift

bench-accuracy: setup-dev  ## Every network on the same test, from stored predictions
	@$(PYTHON) -m benchmarks.accuracy

bench-sampling: setup-dev  ## What keeping crops for labelling costs a device, and what caps do to an estimate made of them
	@$(PYTHON) -m benchmarks.sampling

setup-serve-peers:   # environments of the servers that bench-serve compares with
	@deploy/setup-host.sh .venv-serve requirements/bench-serve.txt --python python3.11
	@deploy/setup-host.sh .venv-mlserver requirements/bench-mlserver.txt --python python3.11

bench-serve: setup-dev setup-serve-peers  ## The model behind HTTP beside Keras, LitServe, MLServer, BentoML, mlflow, by wrk; hot swaps
	@$(PYTHON) -m benchmarks.serve

architecture: setup-dev  ## The picture of the tree for docs/architecture.md, and how each folder is built
	@$(PYTHON) -m docs.architecture

screenshot: setup-dev  ## The dashboard's pictures for README and docs
	@$(PYTHON) -m tests.bridge.web.screenshot

# --- 64-bit Arm, and every runtime ------------------------------------------------------------------------------------
image-arm64: setup-dev  ## Container image of the agent for 64-bit Arm, with docker or buildah (BASE=another image)
	@deploy/arm64/image.sh $(PYTHON) build/arm64

image-serve: setup-dev  ## Container image of the server, with docker or buildah (ARCH=arm64, BASE=another image)
	@deploy/serve/image.sh $(PYTHON) build/serve $(if $(ARCH),"$$ARCH")

test-arm64: setup-dev  ## The agent emulated: Cortex-A72 and A76, both runtimes; Arm instructions per frame
	@set -f; deploy/arm64/test.sh $(PYTHON) build/arm64 $$TESTS

test-agent-matrix: setup-dev setup-tflite  ## The agent's tests on Python 3.11 and 3.13, LiteRT and tflite-runtime
	@deploy/test-agent-matrix.sh

# --- a release: what .github/workflows and the Jenkinsfile run ----------------------------------------------------------
# A package says its name and release: models/emotion-5.ewm is release 5 of `emotion`.
NAMED = given=$${PACKAGE\#\#*/} given=$${given%.ewm} name=$${given%-*} release=$${given\#\#*-}

setup-system:  ## System packages that the tests use: brokers, browsers, emulators (asks for sudo)
	@deploy/system-packages.sh

wheel: setup  ## The wheel of all roles, in build/release
	@$(PYTHON) -m hatchling build --target wheel --directory build/release

sbom: setup-dev  ## Bills of material (CycloneDX) of host and device, in build/release
	@mkdir -p build/release
	@for role in host edge; do $(VENV)/bin/cyclonedx-py requirements requirements/$$role.txt --pyproject pyproject.toml --no-validate \
	  --output-reproducible --output-format JSON --output-file build/release/sbom-$$role.json; done

sign: setup  ## Sign a package into the list of releases: PACKAGE=models/emotion-5.ewm
	@$(if $(PACKAGE),,$(error name the package, such as: make sign PACKAGE=models/emotion-5.ewm))
	@$(VENV)/bin/edgewise release add -- "$$PACKAGE"

rollout: setup  ## Begin a rollout: PACKAGE=models/emotion-5.ewm GROUP=shops [PLAN=plan.toml]
	@$(if $(PACKAGE),,$(error name the package, such as: make rollout PACKAGE=models/emotion-5.ewm GROUP=shops))
	@$(NAMED); $(VENV)/bin/edgewise rollout start --group="$$GROUP" $(if $(PLAN),--plan="$$PLAN") -- "$$name" "$$release"

promote: setup  ## Make a registered package the champion: PACKAGE=models/emotion-5.ewm REASON="…"
	@$(if $(PACKAGE),,$(error name the package, such as: make promote PACKAGE=models/emotion-5.ewm))
	@$(NAMED); $(VENV)/bin/edgewise registry promote --reason="$$REASON" -- "$$name" "$$release"

clean:  ## Remove what was built here; data and models stay
	rm -rf build .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help setup setup-dev setup-tflite demo data runs pipeline train evaluate quantize gate package tune face-detector check \
	test clean install-agent setup-qat bench-train bench-model bench-agent bench-bridge bench-push bench-rollout bench-drift bench-accuracy screenshot architecture up-local bench-alerting bench-dashboard
.PHONY: image-arm64 test-arm64 test-agent-matrix test-slow test-faults
.PHONY: bench-sampling
.PHONY: retrain summary pull push-data setup-system wheel sbom sign rollout promote
.PHONY: bench-serve setup-serve-peers image-serve test-road
