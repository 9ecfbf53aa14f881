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
#   make wheelhouse pack into dist/ all that `make install` needs on a box without internet
#   make deb        build a Debian package of what `make install` installs, in dist/
#   make clean      remove .venv, out/ and dist/
# Packages that pip cannot install are installed by apt if possible; otherwise requirements.sh prints the command.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := .[train,demo,page,opcua,dev]

# PIP_OPTIONS are passed to pip, such as the index of torch without CUDA (README).
# CONSTRAINTS is the file of the versions to install; CONSTRAINTS= takes the newest that pyproject.toml allows.
# For `make install`: EXTRAS=gpio,page also installs these extras; OPENCV=headless installs the OpenCV that needs no
# libraries of a desktop. If there is a folder wheels/, as `make wheelhouse` makes it, packages come from there alone.
# DESTDIR=DIR puts all files under DIR, for a box whose Python is BOX_PYTHON, creates no user and calls no systemctl.
PREFIX ?= /opt/edge-inspect
DESTINATION := $(abspath $(DESTDIR))
CONFIGURATION := $(DESTINATION)/etc/edge-inspect
UNITS := edge-inspect.service edge-inspect-bridge.service edge-inspect-opcua.service edge-inspect-views.service \
    edge-inspect-webhook.service edge-inspect-page.service edge-inspect-archive.service
UNIT_FOLDER := $(DESTINATION)/etc/systemd/system
PLACE := $(DESTINATION)$(PREFIX)
SHARE := $(PLACE)/share/edge-inspect
LACKING := $(PLACE)/extras-not-installed
COMMA := ,
DOCUMENTS := $(PLACE)/share/doc/edge-inspect
BOX_PYTHON ?= /usr/bin/python$(MINOR)
WHEELS ?= $(wildcard wheels)
FROM_WHEELS := $(if $(WHEELS),--no-index --find-links $(abspath $(WHEELS)))
# On a Jetson, OpenCV (with GStreamer) and TensorRT are packages of the system, which the environment must see.
VENV_OPTIONS ?= $(if $(wildcard /etc/nv_tegra_release),--system-site-packages)
PIP_OPTIONS ?=
CONSTRAINTS ?= constraints.txt
PINNED := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
# opencv-python loads desktop libraries. If they are missing and could not be installed, opencv-python-headless replaces
# it; a requirement cannot say "either of the two". Both own the same files, so the second one is installed anew.
define HEADLESS_OPENCV
$(1) -m pip uninstall --quiet --yes opencv-python && \
	    $(1) -m pip install --quiet $(FROM_WHEELS) $(PIP_OPTIONS) $(PINNED) --force-reinstall --no-deps \
	        opencv-python-headless && $(1) -c 'import cv2'
endef
define WITH_OPENCV
$(1) -c 'import cv2' 2> /dev/null || { echo "opencv-python does not load here; opencv-python-headless takes its place"; \
	    $(HEADLESS_OPENCV); }
endef
# pip gives up when one download breaks off. What it has downloaded stays in its cache, so another try goes on from there.
define TRIED_AGAIN
for pause in $(if $(WHEELS),,10 30) 0; do $(1) && break; [ $$pause -ne 0 ] || exit 1; \
	    echo "pip failed; another try in $$pause s"; sleep $$pause; done
endef
# Extras are installed one by one, so that one that fails takes neither the program nor the others along.
define WITH_EXTRAS
rm -f $(LACKING); for extra in $(subst $(COMMA), ,$(EXTRAS)); do \
	    $(1) -m pip install --quiet $(FROM_WHEELS) $(PIP_OPTIONS) $(PINNED) $(if $(DESTDIR),--no-compile) ".[$$extra]" \
	    || echo $$extra >> $(LACKING); done
endef
define SAY_LACKING
test ! -e $(LACKING) || { echo "Everything is installed but these extras, for the reason above: $$(xargs < $(LACKING))"; exit 1; }
endef
# An environment names its own folder, in which DESTDIR has no place, and it has a link to the Python that made it. The
# bytecode names its source too. direct_url.json names the folder of this Makefile.
define FOR_THE_BOX
	$(PLACE)/bin/python -m compileall -qq -f -j 0 -s $(DESTINATION) -p / $(PLACE)/lib || true
	rm -f $(PLACE)/bin/python* $(PLACE)/lib/python*/site-packages/edge_inspect-*.dist-info/direct_url.json
	ln -s $(BOX_PYTHON) $(PLACE)/bin/python3
	for name in python python$(MINOR); do ln -s python3 $(PLACE)/bin/$$name || exit; done
	grep -rlIF '$(PLACE)' $(PLACE)/bin | xargs -r sed -i 's|$(DESTINATION)$(PREFIX)|$(PREFIX)|g'
	sed -i -e '/^command = /d' -e 's|^executable = .*|executable = $(BOX_PYTHON)|' \
	    -e 's|^home = .*|home = $(patsubst %/,%,$(dir $(BOX_PYTHON)))|' $(PLACE)/pyvenv.cfg
endef
MINOR = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BUILD_REQUIREMENTS = $(shell sed -n 's/^requires = \[\(.*\)\]/\1/p' pyproject.toml | tr -d ,)
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' edge/__init__.py)
# For `make wheelhouse`, the box: its architecture, its Python, and the release of its C library (ldd --version).
DIST ?= dist
ARCHITECTURE ?= $(shell uname -m)
PYTHON_VERSION ?= $(MINOR)
GLIBC ?= 2.35
HOUSE = $(DIST)/edge-inspect-$(VERSION)-$(ARCHITECTURE)-python$(PYTHON_VERSION)
DEB_ROOT = $(abspath $(DIST))/deb-root
DEB_ARCHITECTURE = $(shell dpkg --print-architecture)
# Set where systemd runs, which it does not while the image of a disk is being built.
BOOTED := $(wildcard /run/systemd/system)

.PHONY: demo test lint bench versions arm64 constraints install uninstall wheelhouse deb clean

demo: $(INSTALLED)
	$(BIN)/edge-inspect demo --out out/demo

# Three processes, each with one test file at a time, in the order of the folders: the longest files, of calibrate, come
# first. xdist's own order has the files with fewest tests last, which are some of the longest. Most tests keep one core
# busy, so one OpenMP thread each is enough; they wait a third of their time, so three processes keep two cores busy. A
# worker that dies is not replaced, because xdist would wait for ever for the files that it had been given. Python
# writes its bytecode even where the machine's variables say no: the many programs that tests start would all compile
# the project again. Because the others keep the machine busy, a test may wait in vain; such a test, and no other failure,
# is run once more. It is listed with its traceback and is to be mended; after five in one process no more are run again.
test: $(INSTALLED)
	@./requirements.sh test || echo "tests that need a missing package are skipped"
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3 --max-worker-restart 0 \
	    --dist loadfile --no-loadscope-reorder --reruns 1 --max-suite-reruns 5 --rerun-show-tracebacks \
	    --only-rerun "not within" --only-rerun "Timeout"

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
	    --extra page --extra opcua --extra archive --extra parquet --extra sparkplug --extra gpio --extra genicam --no-annotate \
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
	$(if $(DESTDIR),rm -f $(PLACE)/bin/python*)
	$(PYTHON) -m venv $(VENV_OPTIONS) $(PLACE)
	$(call TRIED_AGAIN,$(PLACE)/bin/python -m pip install --quiet --upgrade $(FROM_WHEELS) $(PIP_OPTIONS) $(PINNED) \
	    $(if $(DESTDIR),--no-compile) .)
	@$(call WITH_EXTRAS,$(PLACE)/bin/python)
	@$(if $(filter headless,$(OPENCV)),$(call HEADLESS_OPENCV,$(PLACE)/bin/python),$(if \
	    $(DESTDIR),:,$(call WITH_OPENCV,$(PLACE)/bin/python)))
	$(if $(DESTDIR),$(FOR_THE_BOX))
	install -D --mode 644 --target-directory $(DOCUMENTS) README.md systemd/devices.conf
	find docs -type d | while read -r folder; do \
	    find $$folder -maxdepth 1 -type f -exec install -D --mode 644 --target-directory $(DOCUMENTS)/$$folder {} + || exit; done
	install -D --mode 755 --target-directory $(SHARE) systemd/create-user.sh
	install -d $(UNIT_FOLDER) $(CONFIGURATION)
	for unit in $(UNITS); do sed 's|/opt/edge-inspect|$(PREFIX)|' systemd/$$unit > $(UNIT_FOLDER)/$$unit || exit; done
	for file in config.yaml bridge.yaml opcua.yaml views.yaml webhook.yaml page.yaml archive.yaml; do \
	    test -e $(CONFIGURATION)/$$file || install --mode 644 systemd/$$file $(CONFIGURATION)/$$file || exit; done
ifeq ($(DESTDIR),)
	systemd/create-user.sh
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
	@echo "Not removed: /etc/edge-inspect, /var/lib/edge-inspect, /var/lib/edge-inspect-* and the user edge-inspect"
endif

# The archive is the source distribution with a folder wheels/, from which `make install` takes what it needs: packages,
# what the build needs, and both kinds of OpenCV.
wheelhouse:
	rm -rf $(HOUSE) $(HOUSE).tar $(HOUSE)-tools
	$(PYTHON) -m venv $(HOUSE)-tools
	$(call TRIED_AGAIN,$(HOUSE)-tools/bin/python -m pip install --quiet --upgrade $(PIP_OPTIONS) pip $(BUILD_REQUIREMENTS))
	$(HOUSE)-tools/bin/python -m hatchling build --target sdist --target wheel --directory $(abspath $(HOUSE))-tools
	mkdir $(HOUSE)
	tar --extract --file $(HOUSE)-tools/edge_inspect-$(VERSION).tar.gz --directory $(HOUSE) --strip-components 1
	$(call TRIED_AGAIN,$(HOUSE)-tools/bin/python systemd/download_wheels.py --python $(PYTHON_VERSION) \
	    --machine $(ARCHITECTURE) --glibc $(GLIBC) --to $(HOUSE)/wheels -- $(PIP_OPTIONS) $(PINNED) \
	    '$(HOUSE)-tools/edge_inspect-$(VERSION)-py3-none-any.whl$(if $(EXTRAS),[$(EXTRAS)])' \
	    opencv-python-headless $(BUILD_REQUIREMENTS))
	tar --create --file $(HOUSE).tar --owner=0 --group=0 --directory $(DIST) $(notdir $(HOUSE))
	rm -rf $(HOUSE)-tools
	@echo "$(HOUSE).tar: unpack it on the box, and run there: make install"

# The configuration is copied to /etc when the package is installed: as files of the package, a purge would delete them.
deb:
	rm -rf $(DEB_ROOT)
	$(MAKE) install DESTDIR=$(DEB_ROOT) UNIT_FOLDER=$(DEB_ROOT)/usr/lib/systemd/system OPENCV=$(or $(OPENCV),headless) \
	    CONFIGURATION=$(DEB_ROOT)$(PREFIX)/share/edge-inspect
	cd $(DEB_ROOT) && find opt usr -type f -print0 | xargs -0 md5sum > $(DEB_ROOT).md5sums
	install -D --mode 644 $(DEB_ROOT).md5sums $(DEB_ROOT)/DEBIAN/md5sums
	install --mode 755 --target-directory $(DEB_ROOT)/DEBIAN systemd/debian/p*
	sed -e 's|@VERSION@|$(VERSION)|' -e 's|@ARCHITECTURE@|$(DEB_ARCHITECTURE)|' \
	    -e 's|@PYTHON@|$(notdir $(BOX_PYTHON))|' -e "s|@GLIBC@|$$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)|" \
	    -e "s|@SIZE@|$$(du --summarize --block-size 1K $(DEB_ROOT) | cut -f 1)|" systemd/debian/control \
	    > $(DEB_ROOT)/DEBIAN/control
	sed -i 's|/opt/edge-inspect|$(PREFIX)|' $(DEB_ROOT)/DEBIAN/p*
	dpkg-deb --root-owner-group -Zgzip --build $(DEB_ROOT) $(DIST)/edge-inspect_$(VERSION)_$(DEB_ARCHITECTURE).deb
	rm -rf $(DEB_ROOT) $(DEB_ROOT).md5sums

clean:
	rm -rf $(VENV) out dist
