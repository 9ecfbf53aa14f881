# One command each, with all of its set-up. Python packages install into .venv; PYTHON names the interpreter to make it with.
#   make demo     the whole chain on a rendered production line, nothing downloaded but packages
#   make test     every test that this machine can run; those that cannot are skipped and say why
#   make lint     ruff, mypy and codespell
#   make bench    what is measured: writes tests/benchmarks/results/
#   make install  on a box, as root: into /opt/edge-inspect, as a service; uninstall leaves configuration and data
# What pip does not bring comes by apt where that is possible, else requirements.sh names the command that brings it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := .[train,demo,dev]

# PIP_OPTIONS are handed to pip, such as the index of torch without CUDA (README).
# Of `install`: EXTRAS=tensorrt,gpio installs those extras too; DESTDIR=DIR puts everything under DIR and touches no user.
PREFIX ?= /opt/edge-inspect
CONFIGURATION := $(DESTDIR)/etc/edge-inspect
UNITS := edge-inspect.service edge-inspect-bridge.service
UNIT_FOLDER := $(DESTDIR)/etc/systemd/system
PLACE := $(DESTDIR)$(PREFIX)
DOCUMENTS := $(PLACE)/share/doc/edge-inspect
# JetPack's OpenCV (with GStreamer) and TensorRT are packages of the system.
VENV_OPTIONS ?= $(if $(wildcard /etc/nv_tegra_release),--system-site-packages)
PIP_OPTIONS ?=
GROUPS := video render plugdev gpio dialout
# opencv-python loads libraries of a desktop. Where they are missing and could not be installed, opencv-python-headless
# takes its place; pip cannot be told that either will do. Both own the same files, so the one that stays is put in anew.
define WITH_OPENCV
$(1) -c 'import cv2' 2> /dev/null || { echo "opencv-python does not load here; opencv-python-headless takes its place"; \
	    $(1) -m pip uninstall --quiet --yes opencv-python && \
	    $(1) -m pip install --quiet --force-reinstall --no-deps opencv-python-headless && $(1) -c 'import cv2'; }
endef
# pip gives up when one download breaks off; what has come stays in its cache.
define TRIED_AGAIN
for pause in 10 30 0; do $(1) && break; [ $$pause -ne 0 ] || exit 1; \
	    echo "pip failed; another try in $$pause s"; sleep $$pause; done
endef
# Where systemd runs: not while an image is being made.
BOOTED := $(wildcard /run/systemd/system)

.PHONY: demo test lint bench install uninstall clean

demo: $(INSTALLED)
	$(BIN)/edge-inspect demo --out out/demo

# Two at a time, a file each: most tests keep one core busy. More threads than cores would spin and wait. A worker that
# dies is not replaced: xdist then waits for ever for the files it had been given.
test: $(INSTALLED)
	@./requirements.sh test || echo "tests that need what is missing are skipped"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

# DATA: a folder of categories in the layout of MVTec AD, CATEGORIES: those to take.
bench: $(INSTALLED)
	$(BIN)/python tests/benchmarks/service.py
	$(BIN)/python tests/benchmarks/delivery.py
	$(if $(DATA),$(BIN)/python tests/benchmarks/accuracy.py $(DATA) $(addprefix --category ,$(CATEGORIES)) \
		--options '' --options '--model memory' --options '--model aand' --options '--model dmdd')
	$(if $(DATA),$(BIN)/python tests/benchmarks/precision.py $(DATA) out/accuracy/runs/*)

$(INSTALLED): pyproject.toml
	@PYTHON=$(PYTHON) ./requirements.sh run
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(call TRIED_AGAIN,$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --editable '$(DEVELOPED)')
	@$(call WITH_OPENCV,$(BIN)/python)
	touch $@

install:
	@test -e $(PLACE)/pyvenv.cfg || test -z "$$(ls -A $(PLACE) 2> /dev/null)" || \
	    { echo "PREFIX=$(PREFIX): holds other things, and uninstall removes it whole; name a folder of its own"; exit 1; }
	@PYTHON=$(PYTHON) ./requirements.sh run
	$(PYTHON) -m venv $(VENV_OPTIONS) $(PLACE)
	$(call TRIED_AGAIN,$(PLACE)/bin/python -m pip install --quiet --upgrade $(PIP_OPTIONS) '.$(if $(EXTRAS),[$(EXTRAS)])')
	@$(if $(DESTDIR),:,$(call WITH_OPENCV,$(PLACE)/bin/python))
	$(if $(DESTDIR),sed -i '1s|^#!$(DESTDIR)|#!|' $(PLACE)/bin/edge-inspect $(PLACE)/bin/edge-train $(PLACE)/bin/calibrate)
	install -D --mode 644 --target-directory $(DOCUMENTS) README.md systemd/devices.conf
	find docs -type d | while read -r folder; do \
	    find $$folder -maxdepth 1 -type f -exec install -D --mode 644 --target-directory $(DOCUMENTS)/$$folder {} + || exit; done
	install -d $(UNIT_FOLDER) $(CONFIGURATION)
	for unit in $(UNITS); do sed 's|/opt/edge-inspect|$(PREFIX)|' systemd/$$unit > $(UNIT_FOLDER)/$$unit || exit; done
	for file in config.yaml bridge.yaml; do \
	    test -e $(CONFIGURATION)/$$file || install --mode 644 systemd/$$file $(CONFIGURATION)/$$file || exit; done
ifeq ($(DESTDIR),)
	getent passwd edge-inspect > /dev/null || useradd --system --home-dir /var/lib/edge-inspect edge-inspect
	for group in $(GROUPS); do getent group $$group > /dev/null && usermod --append --groups $$group edge-inspect || true; done
	$(if $(BOOTED),systemctl daemon-reload)
	$(PLACE)/bin/edge-inspect selftest || { [ $$? -eq 1 ] && \
	    echo "The service leaves out what failed above, and runs a precision that is right."; }
	@echo "Edit /etc/edge-inspect/config.yaml, then: systemctl enable --now edge-inspect"
endif

uninstall:
	@test -e $(PLACE)/pyvenv.cfg || { echo "PREFIX=$(PREFIX): nothing is installed there"; exit 1; }
ifeq ($(DESTDIR),)
	systemctl disable $(if $(BOOTED),--now) $(UNITS)
endif
	rm -rf $(PLACE) $(UNITS:%=$(UNIT_FOLDER)/%)
ifeq ($(DESTDIR),)
	$(if $(BOOTED),systemctl daemon-reload)
	@echo "Left: /etc/edge-inspect, /var/lib/edge-inspect and the user edge-inspect"
endif

clean:
	rm -rf $(VENV) out
