# Two commands set everything up: `make run` flies the sample scenes, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS ?=
OUT ?= runs/sample
MINUTES ?= 5
MISSIONS ?= 2000
SAMPLE := sample_data/harbour_20260301.tif sample_data/harbour_20260311.tif
TRUTH := $(foreach scene,$(SAMPLE),--truth $(scene:.tif=.geojson))

# No library may report home, look for updates or fetch anything while it runs.
export YOLO_OFFLINE := true
export YOLO_AUTOINSTALL := false
export OPENVINO_TELEMETRY := false
export DO_NOT_TRACK := 1

.PHONY: run test check bench sample clean fuzz containers soak unit missions

run: $(VENV)/.runtime
	$(BIN)/tianshu run $(SAMPLE) $(TRUTH) --out $(OUT) --replace

# Everything that a change must pass; each part is also a target of its own.
test: unit missions containers

unit: $(VENV)/.development
	$(BIN)/python -m pytest

# Two thousand seeded missions, one in twenty of them harsh, every promise checked after every event.
missions: $(VENV)/.development
	$(BIN)/tianshu simulate --seeds $(MISSIONS) --harsh-every 20

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.development
	$(BIN)/python -m benchmarks

# Every decoder and both ends of the link under a coverage-guided fuzzer for MINUTES in all.
fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz.run --minutes $(MINUTES)

# The compose system put through every fault. An engine is started where none answers, and ended again; where none can be
# started at all, these tests are left out, loudly.
containers: $(VENV)/.development
	@status=0; containers/with_engine.sh $(BIN)/python -m pytest -m containers tests/containers || status=$$?; \
	if [ $$status -eq 69 ]; then \
	  echo '################ CONTAINER TESTS SKIPPED: no container engine can be had here (see above) ################'; \
	else exit $$status; fi

# The compose system under faults for MINUTES (60 where nothing else is said): memory and files must not grow.
soak: MINUTES = 60
soak: $(VENV)/.development
	containers/with_engine.sh $(BIN)/python -m tests.containers.soak --minutes $(MINUTES)

sample: $(VENV)/.development
	$(BIN)/python -m sample_data.generate --out sample_data

clean:
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --upgrade pip

# One resolve for everything, so that torch and torchvision fit each other.
$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --editable ".[train,onnx]"
	touch $@

$(VENV)/.development: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --editable ".[train,onnx,dev]"
	touch $@ $(VENV)/.runtime

$(VENV)/.fuzz: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --editable ".[train,onnx,dev,fuzz]"
	touch $@ $(VENV)/.development $(VENV)/.runtime
