# make demo and make test each start from nothing but Python 3.11 and a package registry.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
RUNTIME ?= $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
BIN := .venv/bin
# A process a core, each with the next test of its share; one that is done takes from the other's end.
PARALLEL := -n auto --dist worksteal
# The runtimes overwrite each other's files: those that are not wanted go first.
OTHER_cpu := onnxruntime-gpu onnxruntime-openvino
OTHER_gpu := onnxruntime onnxruntime-openvino
OTHER_openvino := onnxruntime onnxruntime-gpu

# Many tests start processes, each of which would compile featx anew if nobody may keep what is compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all setup models check format lint types lowest docs bench clean

demo: .venv/demo-$(RUNTIME)  ## the main job on real images: features, five heads, a table
	$(BIN)/featx demo

test: .venv/dev-$(RUNTIME)  ## the tests, but for the exhaustive ones: minutes on 2 cores
	$(BIN)/pytest $(PARALLEL) -m 'not exhaustive'

test-all: .venv/dev-$(RUNTIME)  ## all tests
	$(BIN)/pytest $(PARALLEL)

setup: .venv/dev-$(RUNTIME)  ## .venv with featx in it, as you edit it

models: .venv/models-$(RUNTIME)  ## export the three EfficientNet-Lite backbones
	$(BIN)/python models/export_efficientnet_lite.py

check: format lint types test-all lowest docs  ## what CI runs

format: .venv/dev-$(RUNTIME)
	$(BIN)/ruff format --check .

lint: .venv/dev-$(RUNTIME)
	$(BIN)/ruff check .

types: .venv/dev-$(RUNTIME)
	$(BIN)/mypy

# The lower bounds of pyproject.toml, tested in an environment of their own.
lowest: .venv-lowest/dev-cpu
	.venv-lowest/bin/pytest -q $(PARALLEL) -m 'not exhaustive'

docs: .venv/docs-$(RUNTIME)  ## the documentation as a site, in docs/_build/html; every warning is an error
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going -b html docs docs/_build/html

bench: .venv/bench-$(RUNTIME)  ## the benchmarks, with their results as JSON
	$(BIN)/python benchmarks/elpv.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/graph.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/kills.py
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/listing.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/deployed.py --part differences
	$(BIN)/python benchmarks/deployed.py --part speed
	$(BIN)/python benchmarks/render.py

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/%-$(RUNTIME): pyproject.toml | .venv/bin/pip
	@$(BIN)/pip uninstall --quiet --yes $(OTHER_$(RUNTIME)) 2>/dev/null
	@rm -f $(filter-out .venv/%-$(RUNTIME),$(wildcard .venv/*-cpu .venv/*-gpu .venv/*-openvino))
	$(BIN)/pip install --quiet --editable '.[$(RUNTIME),$*]'
	@touch $@

.venv-lowest/dev-cpu: pyproject.toml tests/lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --constraint tests/lowest.txt --editable '.[cpu,dev]'
	@touch $@

clean:
	rm -rf .venv .venv-lowest dist
