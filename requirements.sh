#!/bin/sh
# Install the packages of Debian or Ubuntu that pip cannot install.
#
#   ./requirements.sh run    to install and run: Python 3.10 or newer with venv, and the libraries of opencv-python
#   ./requirements.sh test   also for all tests: a broker, a compiler, openssl, simulated cameras, systemd's checks,
#                            Modbus clients, node and npm, a browser, PostgreSQL
#
# Packages that are installed already are left alone. Missing ones are installed if this user is root, or sudo asks for no
# password; otherwise the script prints the command that installs them. Exit status 0 if no required package is missing,
# else 1.
set -u
PYTHON="${PYTHON:-python3}"
PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin"
case "${1:-}" in run | test) ;; *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;; esac

has_library() { ldconfig -p 2>/dev/null | grep -q "$1 "; }
has_package() { dpkg --status "$1" 2>/dev/null | grep -q "^Status:.* installed"; }
is_recent() { "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }
has_venv() { "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; }
# An OpenCV that loads needs no further library, such as JetPack's own or opencv-python-headless.
has_opencv() { "$PYTHON" -c 'import cv2' 2>/dev/null; }

missing() {
    command -v "$PYTHON" >/dev/null || echo python3
    has_venv || echo python3-venv
    [ "$1" = test ] || return 0
    command -v mosquitto >/dev/null || echo mosquitto
    command -v g++ >/dev/null || echo g++
    command -v openssl >/dev/null || echo openssl
}

# Packages that are useful but not required. Without the libraries of opencv-python, make installs opencv-python-headless.
# The tests use an RTSP server, a fake GigE camera, systemd-analyze, Modbus clients and validators of other projects, a
# browser and PostgreSQL; not every release of Debian has all of them.
wanted() {
    has_opencv || {
        has_library libGL.so.1 || echo libgl1
        has_library libglib-2.0.so.0 || echo libglib2.0-0
        has_library libxcb.so.1 || echo libxcb1
    }
    [ "$1" = test ] || return 0
    for package in systemd python3-gi gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly \
        gir1.2-gst-rtsp-server-1.0 aravis-tools gir1.2-aravis-0.8; do
        has_package "$package" || echo "$package"
    done
    command -v mosquitto_pub >/dev/null || echo mosquitto-clients
    command -v mbpoll >/dev/null || echo mbpoll
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
    command -v chromium >/dev/null || echo chromium
    # Debian's servers are not in the path.
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || echo postgresql
}

if command -v "$PYTHON" >/dev/null && ! is_recent; then
    echo "$("$PYTHON" --version) is too old: install Python 3.10 to 3.13, and name it: make PYTHON=python3.11 ..." >&2
    exit 1
fi
needed="$(missing "$1" | xargs)"
more="$(wanted "$1" | xargs)"
[ -n "$needed$more" ] || exit 0

command="apt-get install -y --no-install-recommends"
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || sudo -n true 2>/dev/null; }; then
    echo "installing: $needed $more"
    quietly="$as_root env DEBIAN_FRONTEND=noninteractive $command -qq"
    $as_root apt-get update -qq
    [ -z "$needed" ] || $quietly $needed >/dev/null
    # apt installs nothing if one package is unknown to this release, so try each by itself.
    [ -z "$more" ] || $quietly $more >/dev/null || for package in $more; do $quietly "$package" >/dev/null; done
    needed="$(missing "$1" | xargs)"
    more="$(wanted "$1" | xargs)"
    [ -n "$needed$more" ] || exit 0
fi
echo "missing: $needed $more" >&2
if command -v apt-get >/dev/null; then
    echo "to install: sudo apt-get update && sudo $command $needed $more" >&2
else
    echo "these are names of Debian's packages; install the matching packages of your distribution" >&2
fi
[ -z "$needed" ]
