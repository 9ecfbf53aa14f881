#!/bin/sh
# Create the user that the services run as, and add it to those groups of this box that may use cameras, GPUs and GPIO
# lines. `make install` and the Debian package run this. For an image of a disk, made with DESTDIR, run it in the image.
set -eu
getent passwd edge-inspect > /dev/null || useradd --system --home-dir /var/lib/edge-inspect edge-inspect
for group in video render plugdev gpio dialout; do
    if getent group "$group" > /dev/null; then usermod --append --groups "$group" edge-inspect; fi
done
