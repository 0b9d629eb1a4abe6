#!/usr/bin/env bash
# Make FOLDER an emulated device: Debian for 64-bit Arm, one runtime's pinned packages, and the agent from its wheel.
#   device.sh PYTHON RUNTIME BUILD       RUNTIME is litert or tflite; the device becomes BUILD/device-RUNTIME
# The packages stay between runs while their pins do; the agent is built and installed anew each time.
# In the device, /opt/emulator holds QEMU with its own libraries and the instruction counter: run from inside a chroot,
# because `qemu -L` crashes LiteRT, and because QEMU from the static package cannot load a plugin.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$1 runtime=$2 build=$3
case $runtime in
  litert) requirements=requirements/edge.txt ;;
  tflite) requirements=requirements/edge-tflite.txt ;;
  *) echo "device.sh: no runtime is called $runtime; litert and tflite are" >&2; exit 2 ;;
esac
device=$build/device-$runtime
packages=usr/local/lib/python3.11/dist-packages

# shellcheck source=deploy/arm64/target.sh
. deploy/arm64/target.sh
install() {   # unpacks on this machine: no code of the packages runs
  "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile "${target[@]}" \
    --target "$device/$packages" "$@"
}

deploy/arm64/base.sh "$build/base"
deploy/arm64/wheels.sh "$python" "$requirements" "$build/wheels-$runtime"

wanted=$(cat "$requirements" "$0" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$device/etc/edgewise-packages" 2>/dev/null)" != "$wanted" ]; then
  echo "· an emulated device with the packages of $requirements in $device"
  rm -rf "$device"
  cp -a "$build/base" "$device"
  install --require-hashes --find-links "$build/wheels-$runtime" --requirement "$requirements"
  echo "$wanted" > "$device/etc/edgewise-packages"
fi

emulator=$device/opt/emulator
mkdir -p "$emulator"
if ! cmp -s "$(command -v qemu-aarch64)" "$emulator/qemu-aarch64"; then
  ldd "$(command -v qemu-aarch64)" | grep -oE '/[^ ]+' | xargs cp -L -t "$emulator"
  cp -L "$(command -v qemu-aarch64)" "$emulator"
fi
command -v gcc >/dev/null || { echo 'the instruction counter needs gcc; run: sudo apt-get install gcc libc6-dev' >&2; exit 69; }
if [ deploy/arm64/instructions.c -nt "$emulator/libinstructions.so" ]; then
  for version in 1 2 3 4 5; do   # of QEMU's plugin interface: each QEMU takes a range of them
    gcc -O2 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden -DPLUGIN_VERSION=$version \
      deploy/arm64/instructions.c -o "$emulator/libinstructions.so"
    chroot "$device" /opt/emulator/ld-linux-x86-64.so.2 --library-path /opt/emulator /opt/emulator/qemu-aarch64 \
      -plugin /opt/emulator/libinstructions.so,counts=/tmp/counts /bin/true 2>/dev/null && break
    rm -f "$emulator/libinstructions.so"
  done
  [ -e "$emulator/libinstructions.so" ] || { echo 'this QEMU takes no plugin that could count instructions' >&2; exit 69; }
fi

rm -rf "$build/dist" "${device:?}/$packages"/{edge_*,edgewise_toolkit-*,bin}
"$python" -m hatchling build --target wheel --directory "$build/dist" >/dev/null 2>&1
install "$build"/dist/edgewise_toolkit-*.whl
