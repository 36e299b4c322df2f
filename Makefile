# Two commands set everything up: `make run` flies the sample scenes, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS ?=
OUT ?= runs/sample
MINUTES ?= 5
SAMPLE := sample_data/harbour_20260301.tif sample_data/harbour_20260311.tif
TRUTH := $(foreach scene,$(SAMPLE),--truth $(scene:.tif=.geojson))

# No library may report home, look for updates or fetch anything while it runs.
export YOLO_OFFLINE := true
export YOLO_AUTOINSTALL := false
export OPENVINO_TELEMETRY := false
export DO_NOT_TRACK := 1

.PHONY: run test check bench sample clean fuzz

run: $(VENV)/.runtime
	$(BIN)/tianshu run $(SAMPLE) $(TRUTH) --out $(OUT) --replace

test: $(VENV)/.development
	$(BIN)/python -m pytest

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.development
	$(BIN)/python -m benchmarks

# Every decoder and both ends of the link under a coverage-guided fuzzer for MINUTES in all.
fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz.run --minutes $(MINUTES)

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
