#!/usr/bin/env bash
# Run the agent's tests on every Python and runtime that is here: LiteRT on 3.11 and 3.13, tflite-runtime on 3.11.
#   test-agent-matrix.sh [PYTEST ARGUMENT]...
# An environment whose Python is not on this machine is skipped by name. Exit status 1 when tests failed somewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

tests=(tests/contract tests/vision tests/agent)

find_python() {   # a command of that version, or one that pyenv or uv keeps out of the way
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python \
    "$HOME"/.local/share/uv/python/cpython-"$1".*/bin/python; do
    if "$candidate" -c 'import sys; raise SystemExit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$1" 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

failed=() skipped=() passed=()
run() {   # NAME ENVIRONMENT PYTHON-VERSION REQUIREMENTS...
  local name=$1 environment=$2 version=$3 python set status=0
  shift 3
  if ! python=$(find_python "$version"); then
    skipped+=("$name: there is no Python $version here")
    return
  fi
  for set in "$@"; do
    deploy/setup-host.sh "$environment" "$set" --python "$python"
  done
  echo "== $name ($environment)"
  "$environment/bin/python" -m pytest -q -n "${WORKERS:-2}" --dist loadgroup "${tests[@]}" "${arguments[@]}" || status=$?
  if [ "$status" = 0 ]; then passed+=("$name"); else failed+=("$name"); fi
}

arguments=("$@")
# The first is the checkout's own environment: a device's packages and everything else at the same pins.
run 'Python 3.11, LiteRT' .venv 3.11 requirements/host.txt requirements/dev.txt
run 'Python 3.11, tflite-runtime' .venv-tflite 3.11 requirements/edge-tflite.txt requirements/edge-test.txt
run 'Python 3.13, LiteRT' .venv-py313 3.13 requirements/edge.txt requirements/edge-test.txt

echo
for name in "${passed[@]}"; do echo "passed   $name"; done
for reason in "${skipped[@]}"; do echo "skipped  $reason"; done
for name in "${failed[@]}"; do echo "FAILED   $name"; done
[ ${#failed[@]} = 0 ]
