#!/usr/bin/env bash
# See that 64-bit Arm programs run here: QEMU's user emulation from the system's packages, and the kernel told of it.
#   emulator.sh [--install] [PACKAGE]...     further Debian packages to have, such as buildah
# --install: fetch the packages that are missing; otherwise they are a reason to skip.
# Exit status 69 and one sentence when this machine cannot do it: callers print it as the reason why they skip.
set -euo pipefail

unavailable() { echo "$1" >&2; exit 69; }

install=
if [ "${1:-}" = --install ]; then
  install=yes
  shift
fi

[ "$(uname -s)" = Linux ] || unavailable "emulating Arm needs Linux, and this is $(uname -s)"
[ "$(uname -m)" != aarch64 ] || exit 0   # it needs no emulator
[ "$(uname -m)" = x86_64 ] || unavailable "emulating Arm is tried on x86-64 only, and this is $(uname -m)"
[ "$(id -u)" = 0 ] || unavailable 'emulating Arm needs root, for chroot and binfmt_misc; run it again with sudo'

# The keyring vouches for Debian's packages on machines that are not Debian.
wanted=(qemu-user qemu-user-static mmdebstrap debian-archive-keyring "$@")
missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  [ -n "$install" ] || unavailable "emulating Arm needs ${missing[*]}; run: apt-get install ${missing[*]}"
  command -v apt-get >/dev/null || unavailable "emulating Arm needs ${missing[*]}, and there is no apt-get to install them"
  echo "· ${missing[*]} from the system packages"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    || { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; }; } >/dev/null 2>&1 \
    || unavailable "the system packages ${missing[*]} could not be installed; run: apt-get install ${missing[*]}"
fi
[[ $(qemu-aarch64 -cpu help) == *cortex-a76* ]] || unavailable 'this QEMU does not know the Cortex-A76; version 7.1 or newer does'

# The kernel hands Arm programs to QEMU, also those that an emulated program starts. Systemd has usually done this.
binfmt=/proc/sys/fs/binfmt_misc
[ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt 2>/dev/null \
  || unavailable 'binfmt_misc cannot be mounted here, so the kernel cannot be told how to run Arm programs'
if [ ! -e $binfmt/qemu-aarch64 ]; then
  # One line without its newline; flag F of it keeps the emulator open, so that it is found inside a chroot.
  tr -d '\n' < /usr/lib/binfmt.d/qemu-aarch64.conf > $binfmt/register 2>/dev/null \
    || unavailable 'the kernel would not register QEMU for Arm programs (binfmt_misc)'
fi
