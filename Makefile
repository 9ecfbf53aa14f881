# Each target does its own set-up. Python packages are installed into .venv; PYTHON names the interpreter for it.
#   make demo       run the whole chain on a rendered production line; downloads nothing but packages
#   make test       run every test that this machine can run; the others are skipped and say why
#   make lint       run ruff, mypy and codespell
#   make bench      run the benchmarks; writes tests/benchmarks/results/
#   make versions   run the self-test with the oldest and the newest of each package that a box needs, on each Python here
#   make arm64      as root: install and test the runtime on an emulated Arm processor (tests/arm64.sh)
#   make constraints  write the newest versions that go together into constraints.txt
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
# CONSTRAINTS is the file of the versions to install; CONSTRAINTS= takes the newest that pyproject.toml allows.
# For `make install`: EXTRAS=gpio,page also installs these extras; DESTDIR=DIR puts all files under DIR, creates no user
# and calls no systemctl.
PREFIX ?= /opt/edge-inspect
CONFIGURATION := $(DESTDIR)/etc/edge-inspect
UNITS := edge-inspect.service edge-inspect-bridge.service edge-inspect-page.service
UNIT_FOLDER := $(DESTDIR)/etc/systemd/system
PLACE := $(DESTDIR)$(PREFIX)
LACKING := $(PLACE)/extras-not-installed
COMMA := ,
DOCUMENTS := $(PLACE)/share/doc/edge-inspect
# On a Jetson, OpenCV (with GStreamer) and TensorRT are packages of the system, which the environment must see.
VENV_OPTIONS ?= $(if $(wildcard /etc/nv_tegra_release),--system-site-packages)
PIP_OPTIONS ?=
CONSTRAINTS ?= constraints.txt
PINNED := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
GROUPS := video render plugdev gpio dialout
# opencv-python loads desktop libraries. If they are missing and could not be installed, opencv-python-headless replaces
# it; a requirement cannot say "either of the two". Both own the same files, so the second one is installed anew.
define WITH_OPENCV
$(1) -c 'import cv2' 2> /dev/null || { echo "opencv-python does not load here; opencv-python-headless takes its place"; \
	    $(1) -m pip uninstall --quiet --yes opencv-python && \
	    $(1) -m pip install --quiet --force-reinstall --no-deps $(PINNED) opencv-python-headless && $(1) -c 'import cv2'; }
endef
# pip gives up when one download breaks off. What it has downloaded stays in its cache, so another try goes on from there.
define TRIED_AGAIN
for pause in 10 30 0; do $(1) && break; [ $$pause -ne 0 ] || exit 1; \
	    echo "pip failed; another try in $$pause s"; sleep $$pause; done
endef
# Extras are installed one by one, so that one that fails takes neither the program nor the others along.
define WITH_EXTRAS
rm -f $(LACKING); for extra in $(subst $(COMMA), ,$(EXTRAS)); do \
	    $(1) -m pip install --quiet $(PIP_OPTIONS) $(PINNED) ".[$$extra]" || echo $$extra >> $(LACKING); done
endef
define SAY_LACKING
test ! -e $(LACKING) || { echo "Everything is installed but these extras, for the reason above: $$(xargs < $(LACKING))"; exit 1; }
endef
# Set where systemd runs, which it does not while the image of a disk is being built.
BOOTED := $(wildcard /run/systemd/system)

.PHONY: demo test lint bench versions arm64 constraints install uninstall clean

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

# Every Python 3.10 to 3.13 that is in the path or that pyenv has installed is tested.
versions: $(INSTALLED)
	$(BIN)/python tests/benchmarks/versions.py

arm64: $(INSTALLED)
	PYTHON=$(BIN)/python tests/arm64.sh out/arm64

# The extras are those that a box may have from PyPI alone. Both OpenCVs are pinned: one may take the other's place.
constraints: $(INSTALLED)
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.10 --only-binary :all: \
	    --extra page --extra sparkplug --extra gpio --extra genicam --no-annotate \
	    --custom-compile-command 'make constraints' --output-file constraints.txt
	headless="$$(sed -n 's/^opencv-python==/opencv-python-headless==/p' constraints.txt)"; echo "$$headless" >> constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@PYTHON=$(PYTHON) ./requirements.sh run
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(call TRIED_AGAIN,$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) $(PINNED) --editable '$(DEVELOPED)')
	@$(call WITH_OPENCV,$(BIN)/python)
	touch $@

install:
	@test -e $(PLACE)/pyvenv.cfg || test -z "$$(ls -A $(PLACE) 2> /dev/null)" || \
	    { echo "PREFIX=$(PREFIX): the folder holds other files, and uninstall would remove them; name an empty one"; exit 1; }
	@PYTHON=$(PYTHON) ./requirements.sh run
	$(PYTHON) -m venv $(VENV_OPTIONS) $(PLACE)
	$(call TRIED_AGAIN,$(PLACE)/bin/python -m pip install --quiet --upgrade $(PIP_OPTIONS) $(PINNED) .)
	@$(call WITH_EXTRAS,$(PLACE)/bin/python)
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
	@$(SAY_LACKING)

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
