#!/usr/bin/env bash
# Make a virtual environment with one pinned requirement set, and see that mosquitto is there.
#   setup-host.sh ENVIRONMENT REQUIREMENTS [--with-mosquitto] [--python EXECUTABLE]
# A second run with unchanged pins does nothing. Every failure is one sentence with the command that mends it.
set -euo pipefail

environment=$1 requirements=$2
shift 2
python='' mosquitto=''
while [ $# -gt 0 ]; do
  case $1 in
    --with-mosquitto) mosquitto=yes ;;
    --python) python=$2; shift ;;
    *) echo "setup-host.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done

fail() { echo "edgewise: $1" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

find_python() {
  local candidate
  for candidate in ${python:-python3.11 python3 python3.12 python3.13}; do
    if "$candidate" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

install_mosquitto() {
  PATH=$PATH:/usr/sbin:/usr/local/sbin command -v mosquitto >/dev/null && return
  command -v apt-get >/dev/null || fail 'mosquitto is not installed; install it with your system'\''s packages and run this again'
  echo '· mosquitto from the system packages'
  as_root apt-get update -qq || true   # an old list often still serves
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends mosquitto >/dev/null 2>&1 \
    || fail 'mosquitto could not be installed; run: sudo apt-get install mosquitto'
}

if [ -n "$mosquitto" ]; then install_mosquitto; fi

# pyproject.toml too: it names the commands.
wanted=$(cat "$requirements" pyproject.toml | sha256sum | cut -d' ' -f1)
stamp=$environment/.$(basename "$requirements" .txt)
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

found=$(find_python) || fail 'Python 3.11 is not installed; run: sudo apt-get install python3.11 python3.11-venv'
if [ ! -x "$environment/bin/pip" ]; then
  "$found" -m venv "$environment" 2>/dev/null \
    || fail "$found cannot make virtual environments; run: sudo apt-get install python3-venv, then: rm -rf $environment"
fi
echo "· $(grep -c '^[a-z0-9._-]*==' "$requirements") pinned packages of $requirements into $environment (minutes, the first time)"
"$environment/bin/pip" install --disable-pip-version-check --require-hashes --no-deps --progress-bar on -r "$requirements" \
  | { grep --line-buffered -E '^(  )?(Downloading|Installing|ERROR)|━' || true; } | cut -c1-110 \
  || fail "the pinned packages could not be installed (see above); mend the network or index and run this again"
if "$environment/bin/python" -c 'import hatchling, editables' 2>/dev/null; then
  "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
else
  # A device's environment needs no build tool: the checkout is put on its path.
  "$environment/bin/python" -c 'import pathlib, site; pathlib.Path(site.getsitepackages()[0], "edgewise.pth").write_text(str(pathlib.Path.cwd()) + "\n")'
fi
echo "$wanted" > "$stamp"
