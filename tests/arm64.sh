#!/bin/sh
# Run the runtime on an emulated Arm processor: install, doctor, pixels, and in every precision the self-test and verdicts,
# which must be those of this machine; then the service.
#
#   sudo tests/arm64.sh [FOLDER]     # default: out/arm64, which keeps the root of Debian 12 as a tar for the next run
#
# Needs root, Debian or Ubuntu on x86_64, PyPI, and 3 GB; takes about six minutes, three of them for the root the first time.
# qemu-user translates every instruction, so results are those of an Arm processor of the kind Cortex-A76, integers to the
# last bit, and times say nothing. Nothing outside FOLDER is changed, but packages for emulation are installed.
# Ends with status 0 if every step does what it should.
set -eu
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-.venv/bin/python}"
FOLDER="$(mkdir -p "${1:-out/arm64}" && cd "${1:-out/arm64}" && pwd)"
ROOT="$FOLDER/root"
KEPT="$FOLDER/debian-12-arm64.tar"
export QEMU_CPU=cortex-a76  # the default has SVE, which qemu 7.2 and OpenVINO do not survive together

[ "$(id -u)" -eq 0 ] || { echo "needs root: sudo $0" >&2; exit 2; }

leave() { for each in proc/cpuinfo proc sys dev; do ! mountpoint -q "$ROOT/$each" || umount "$ROOT/$each"; done; }
# QEMU_CPU is for qemu, which reads it where a guest program starts.
guest() { chroot "$ROOT" /usr/bin/env -i QEMU_CPU="$QEMU_CPU" PATH=/opt/edge-inspect/bin:/usr/bin:/bin HOME=/root OMP_NUM_THREADS=1 "$@"; }
step() { echo "== $(date +%T) $1"; }

step "the emulator"
command -v qemu-aarch64-static >/dev/null && command -v debootstrap >/dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-user-static binfmt-support debootstrap
}
mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
update-binfmts --enable qemu-aarch64

step "the root"
trap leave EXIT
leave
rm -rf "$ROOT"
mkdir "$ROOT"
if [ -e "$KEPT" ]; then
    tar -xf "$KEPT" -C "$ROOT"
else
    # The mirror that apt uses here.
    mirror="$(apt-get indextargets --format '$(SITE)' | grep -m 1 debian || echo http://deb.debian.org/debian)"
    debootstrap --arch=arm64 --variant=minbase --components=main \
        --include=python3,python3-venv,python3-pip,libgomp1 bookworm "$ROOT" "$mirror" >"$FOLDER/debootstrap.log"
    tar -cf "$KEPT.part" -C "$ROOT" . && mv "$KEPT.part" "$KEPT"
fi
mount -t proc proc "$ROOT/proc"
mount -t sysfs sysfs "$ROOT/sys"
mount --bind /dev "$ROOT/dev"
# qemu-user 7.2 shows the processor of the host; this is a Cortex-A78AE, as in a Jetson Orin.
printf 'processor\t: 0\nFeatures\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd42\nCPU revision\t: 1\n\n' >"$ROOT/cpuinfo"
mount --bind "$ROOT/cpuinfo" "$ROOT/proc/cpuinfo"
cp /etc/hosts "$ROOT/etc/hosts"

step "wheels for Arm, fetched by this machine's pip"
mkdir -p "$ROOT/box/wheels"
"$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$ROOT/box/wheels" .
platforms=""
for each in manylinux2014 manylinux_2_17 manylinux_2_28 manylinux_2_31 manylinux_2_34 manylinux_2_35; do
    platforms="$platforms --platform ${each}_aarch64"
done
# Without a desktop's libraries, OpenCV is the headless one.
"$PYTHON" -m pip download --quiet $platforms --python-version 3.11 --only-binary :all: --constraint constraints.txt \
    --dest "$ROOT/box/wheels" "$ROOT"/box/wheels/edge_inspect-*.whl opencv-python-headless

step "install, without a network"
cp constraints.txt tests/pixel_digests.py edge/selftest.zip "$ROOT/box/"
guest python3 -m venv /opt/edge-inspect
guest pip install --quiet --no-index --find-links /box/wheels --constraint /box/constraints.txt edge-inspect
guest pip uninstall --quiet --yes opencv-python
guest pip install --quiet --no-index --find-links /box/wheels --no-deps --force-reinstall opencv-python-headless

step "doctor"
guest edge-inspect doctor

step "the pixels that reach the network"
guest python /box/pixel_digests.py

step "golden frames in every precision"
guest edge-inspect selftest

step "verdicts in every precision, beside those of this machine"
"$PYTHON" tests/arm64_verdicts.py draw edge/selftest.zip "$ROOT/box/frames"
# OpenVINO computes most INT8 layers in float there, so that sums are rounded to other steps.
for each in fp32:0.001 fp16:0.001 int8:0.05; do
    precision="${each%:*}"
    "$PYTHON" -m edge_inspect.edge.cli image edge/selftest.zip "$ROOT/box/frames" \
        --precision $precision --json "$FOLDER/$precision.json" >/dev/null
    guest edge-inspect image /box/selftest.zip /box/frames --precision $precision --json /box/$precision.json >/dev/null
    "$PYTHON" tests/arm64_verdicts.py compare "${each#*:}" "$FOLDER/$precision.json" "$ROOT/box/$precision.json"
done

step "the service, without a broker"
cat >"$ROOT/box/config.yaml" <<EOF
site: plant1
line: line1
stations: [{name: station1, camera: "folder:/box/frames?fps=2", bundle: /box/selftest.zip, policy: every, precision: fp32}]
mqtt: {host: 127.0.0.1, port: 9}
outbox: {path: /box/outbox.db}
EOF
guest edge-inspect run --config /box/config.yaml
"$PYTHON" tests/arm64_verdicts.py compare 0.001 "$FOLDER/fp32.json" "$ROOT/box/outbox.db"
step "done"
