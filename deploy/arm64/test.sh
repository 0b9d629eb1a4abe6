#!/usr/bin/env bash
# Make the emulated devices and run all of their tests, slow ones too; where that cannot be done, say why.
#   test.sh PYTHON BUILD [PYTEST ARGUMENT]...
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$1 build=$2
shift 2
deploy/arm64/devices.sh "$python" "$build" --install
if [ -e "$build/skipped" ]; then exit 0; fi
"$python" -m pytest -q -m 'slow or not slow' "$@" tests/arm64
