#!/usr/bin/env bash
# Make the emulated devices and run the agent's tests in them; where that cannot be done, say why in one sentence.
#   test.sh PYTHON BUILD [PYTEST ARGUMENT]...
# Exit status 0 also when skipped, so that CI can run it anywhere.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$1 build=$2
shift 2
mkdir -p "$build"
exec 9> "$build/.lock"
flock 9   # two runs would share one device's /tmp

step() {   # run a step; status 69 is a reason to skip, which the step has said on stderr
  local status=0
  "$@" 2> "$build/reason" || status=$?
  if [ $status = 69 ]; then
    echo "test-arm64 skipped: $(tail -1 "$build/reason")"
    exit 0
  fi
  cat "$build/reason" >&2
  [ $status = 0 ] || exit $status
}

if [ "$(uname -m)" = aarch64 ]; then
  echo 'test-arm64 skipped: this machine is 64-bit Arm itself; make test-agent-matrix runs the tests on it for real'
  exit 0
fi
step deploy/arm64/emulator.sh
for runtime in litert tflite; do step deploy/arm64/device.sh "$python" "$runtime" "$build"; done
"$python" -m pytest -q -m slow "$@" tests/arm64
