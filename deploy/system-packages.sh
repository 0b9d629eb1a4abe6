#!/usr/bin/env bash
# System packages that the whole test suite uses; a test whose part is missing skips and says so.
#   system-packages.sh
set -euo pipefail

parts=(mosquitto chromium prometheus prometheus-alertmanager postgresql)
# 64-bit Arm emulated, and the agent's image.
emulation=(qemu-user qemu-user-static mmdebstrap debian-archive-keyring gcc libc6-dev buildah)
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null; }

command -v apt-get >/dev/null || { echo 'there is no apt-get here; install these by hand:' "${parts[@]}" "${emulation[@]}" >&2; exit 1; }
as_root apt-get update -qq
for package in "${parts[@]}" "${emulation[@]}"; do
  install "$package" || echo "· $package cannot be had here: the tests that need it are skipped"
done
