# One command each. Everything installs into .venv; PYTHON names the interpreter to make it with.
#   make demo     the whole chain on a rendered production line, nothing downloaded but packages
#   make test     every test; needs mosquitto and g++ (apt install mosquitto g++)
#   make lint     ruff and mypy
#   make bench    what is measured: writes tests/benchmarks/results/

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint bench clean

demo: $(INSTALLED)
	$(BIN)/edge-inspect demo --out out/demo

# Two at a time, a file each: most tests keep one core busy. More threads than cores would spin and wait.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# DATA: a folder of categories in the layout of MVTec AD. WEIGHTS: torchvision's ResNet-18.
bench: $(INSTALLED)
	$(BIN)/python tests/benchmarks/service.py
	$(if $(DATA),$(BIN)/python tests/benchmarks/real_sets.py $(DATA) $(addprefix --category ,$(CATEGORIES)) \
		$(if $(WEIGHTS),--teacher resnet18 --teacher-weights $(WEIGHTS)))

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[train,demo,dev]'
	touch $@

clean:
	rm -rf $(VENV) out
