# Each target does its own set-up. Python packages are installed into .venv; PYTHON names the interpreter for it.
#   make demo       run the whole chain on a rendered production line; downloads nothing but packages
#   make test       run every test that this machine can run; the others are skipped and say why
#   make lint       run ruff, mypy and codespell
#   make bench      run the benchmarks; writes tests/benchmarks/results/
#   make install    on a box, as root: install into /opt/edge-inspect, and add the service to systemd
#   make uninstall  on a box, as root: remove the program and the service, but no configuration and no data
#   make clean      remove .venv and out/
# Packages that pip cannot install are installed by apt if possible; otherwise requirements.sh prints the command.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := .[train,demo,page,dev]

# PIP_OPTIONS are passed to pip, such as the index of torch without CUDA (README).
# For `make install`: EXTRAS=tensorrt,page also installs these extras; DESTDIR=DIR puts all files under DIR, creates no
# user and calls no systemctl.
PREFIX ?= /opt/edge-inspect
CONFIGURATION := $(DESTDIR)/etc/edge-inspect
UNITS := edge-inspect.service edge-inspect-bridge.service edge-inspect-page.service
UNIT_FOLDER := $(DESTDIR)/etc/systemd/system
PLACE := $(DESTDIR)$(PREFIX)
DOCUMENTS := $(PLACE)/share/doc/edge-inspect
# On a Jetson, OpenCV (with GStreamer) and TensorRT are packages of the system, which the environment must see.
VENV_OPTIONS ?= $(if $(wildcard /etc/nv_tegra_release),--system-site-packages)
PIP_OPTIONS ?=
GROUPS := video render plugdev gpio dialout
# opencv-python loads desktop libraries. If they are missing and could not be installed, opencv-python-headless replaces
# it; a requirement cannot say "either of the two". Both own the same files, so the second one is installed anew.
define WITH_OPENCV
$(1) -c 'import cv2' 2> /dev/null || { echo "opencv-python does not load here; opencv-python-headless takes its place"; \
	    $(1) -m pip uninstall --quiet --yes opencv-python && \
	    $(1) -m pip install --quiet --force-reinstall --no-deps opencv-python-headless && $(1) -c 'import cv2'; }
endef
# pip gives up when one download breaks off. What it has downloaded stays in its cache, so another try goes on from there.
define TRIED_AGAIN
for pause in 10 30 0; do $(1) && break; [ $$pause -ne 0 ] || exit 1; \
	    echo "pip failed; another try in $$pause s"; sleep $$pause; done
endef
# Set where systemd runs, which it does not while the image of a disk is being built.
BOOTED := $(wildcard /run/systemd/system)

.PHONY: demo test lint bench install uninstall clean

demo: $(INSTALLED)
	$(BIN)/edge-inspect demo --out out/demo

# Three processes, each with one test file at a time, in the order of the folders: the longest files, of calibrate, come
# first. xdist's own order has the files with fewest tests last, which are some of the longest. Most tests keep one core
# busy, so one OpenMP thread each is enough; they wait a third of their time, so three processes keep two cores busy. A
# worker that dies is not replaced, because xdist would wait for ever for the files that it had been given. Python
# writes its bytecode even where the machine's variables say no: the many programs that tests start would all compile
# the project again.
test: $(INSTALLED)
	@./requirements.sh test || echo "tests that need a missing package are skipped"
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3 --max-worker-restart 0 \
	    --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

# DATA is a folder of categories in the layout of MVTec AD; CATEGORIES names the categories to use.
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
	    { echo "PREFIX=$(PREFIX): the folder holds other files, and uninstall would remove them; name an empty one"; exit 1; }
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
	for file in config.yaml bridge.yaml page.yaml; do \
	    test -e $(CONFIGURATION)/$$file || install --mode 644 systemd/$$file $(CONFIGURATION)/$$file || exit; done
ifeq ($(DESTDIR),)
	getent passwd edge-inspect > /dev/null || useradd --system --home-dir /var/lib/edge-inspect edge-inspect
	for group in $(GROUPS); do getent group $$group > /dev/null && usermod --append --groups $$group edge-inspect || true; done
	$(if $(BOOTED),systemctl daemon-reload)
	$(PLACE)/bin/edge-inspect selftest || { [ $$? -eq 1 ] && \
	    echo "The service does not use the precisions that failed above, and runs another one."; }
	@echo "Edit /etc/edge-inspect/config.yaml, then start the service: systemctl enable --now edge-inspect"
endif

uninstall:
	@test -e $(PLACE)/pyvenv.cfg || { echo "PREFIX=$(PREFIX): nothing is installed there"; exit 1; }
ifeq ($(DESTDIR),)
	systemctl disable $(if $(BOOTED),--now) $(UNITS)
endif
	rm -rf $(PLACE) $(UNITS:%=$(UNIT_FOLDER)/%)
ifeq ($(DESTDIR),)
	$(if $(BOOTED),systemctl daemon-reload)
	@echo "Not removed: /etc/edge-inspect, /var/lib/edge-inspect, /var/lib/edge-inspect-page and the user edge-inspect"
endif

clean:
	rm -rf $(VENV) out
