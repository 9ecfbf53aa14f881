#!/bin/sh
# Bring what pip cannot bring: packages of Debian or Ubuntu.
#
#   ./requirements.sh run    to install and run: a Python of 3.10 or newer with venv, and the libraries of opencv-python
#   ./requirements.sh test   for every test too: a broker, a compiler, openssl, stand-ins for cameras, systemd's checks,
#                            a Modbus client, node and npm, a browser
#
# What is there already is left alone. Where packages can be installed (as root, or with sudo that asks for no password)
# they are; else the one command that brings them is named. Exit status 0 if nothing is missing that cannot be done
# without, 1 if something is.
set -u
PYTHON="${PYTHON:-python3}"
PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin"
case "${1:-}" in run | test) ;; *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;; esac

has_library() { ldconfig -p 2>/dev/null | grep -q "$1 "; }
has_package() { dpkg --status "$1" 2>/dev/null | grep -q "^Status:.* installed"; }
is_recent() { "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }
has_venv() { "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; }
# Where OpenCV loads it needs no more, whatever is on its list: JetPack's own, or opencv-python-headless.
has_opencv() { "$PYTHON" -c 'import cv2' 2>/dev/null; }

missing() {
    command -v "$PYTHON" >/dev/null || echo python3
    has_venv || echo python3-venv
    [ "$1" = test ] || return 0
    command -v mosquitto >/dev/null || echo mosquitto
    command -v g++ >/dev/null || echo g++
    command -v openssl >/dev/null || echo openssl
}

# What opencv-python loads, without which make takes opencv-python-headless; and for tests an RTSP server, a fake GigE
# camera, systemd-analyze, other people's Modbus clients and validators, a browser: not every release has all of them.
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
}

if command -v "$PYTHON" >/dev/null && ! is_recent; then
    echo "$("$PYTHON" --version) is too old: Python 3.10 to 3.13 is needed; name one: make PYTHON=python3.11 ..." >&2
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
    # One that this release does not have must not keep the others away.
    [ -z "$more" ] || $quietly $more >/dev/null || for package in $more; do $quietly "$package" >/dev/null; done
    needed="$(missing "$1" | xargs)"
    more="$(wanted "$1" | xargs)"
    [ -n "$needed$more" ] || exit 0
fi
echo "missing: $needed $more" >&2
if command -v apt-get >/dev/null; then
    echo "this command brings it: sudo apt-get update && sudo $command $needed $more" >&2
else
    echo "install what your distribution calls these packages of Debian" >&2
fi
[ -z "$needed" ]
