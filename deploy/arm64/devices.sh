#!/usr/bin/env bash
# Make both emulated devices, or say in one sentence why that cannot be done here; the tests repeat it as they skip.
#   devices.sh PYTHON BUILD [--install]      --install: fetch the system packages that are missing (as root)
# Exit status 0 also where it cannot be done, so that CI can run it anywhere; the sentence is then in BUILD/skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$1 build=$2 install=${3:-}
mkdir -p "$build"
exec 9> "$build/.lock"
flock 9   # two at a time would write into one device
rm -f "$build/skipped"

step() {   # run a step; status 69 is a reason to skip, which the step has said on stderr
  local status=0
  "$@" 2> "$build/reason" || status=$?
  if [ $status = 69 ]; then
    tail -1 "$build/reason" > "$build/skipped"
    echo "emulated Arm skipped: $(cat "$build/skipped")"
    exit 0
  fi
  cat "$build/reason" >&2
  [ $status = 0 ] || exit $status
}

if [ "$(uname -m)" = aarch64 ]; then
  echo 'this machine is 64-bit Arm itself; make test-agent-matrix runs the tests on it for real' > "$build/skipped"
  echo "emulated Arm skipped: $(cat "$build/skipped")"
  exit 0
fi
step deploy/arm64/emulator.sh ${install:+"$install"}
for runtime in litert tflite; do step deploy/arm64/device.sh "$python" "$runtime" "$build"; done
