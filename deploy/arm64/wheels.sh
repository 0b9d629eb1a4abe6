#!/usr/bin/env bash
# Fetch a device's pinned packages as wheels for 64-bit Arm (or amd64) and Python 3.11, each checked against its recorded digest.
#   wheels.sh PYTHON REQUIREMENTS FOLDER [amd64|arm64]
# A second run with unchanged pins does nothing. Exit status 69 and one sentence when they cannot be fetched.
set -euo pipefail

python=$1 requirements=$2 folder=$3 arch=${4:-arm64}
wanted=$(sha256sum "$requirements" | cut -d' ' -f1)
if [ "$(cat "$folder/.complete" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

rm -rf "$folder" "$folder.part"
echo "· $(grep -c '^[a-z0-9._-]*==' "$requirements") pinned packages of $requirements for $arch into $folder"
# shellcheck source=deploy/arm64/target.sh
. "$(dirname "$0")/target.sh"
if ! said=$("$python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes "${target[@]}" \
  --dest "$folder.part" --requirement "$requirements" 2>&1); then
  grep '^ERROR' <<<"$said" >&2 || true
  echo "the wheels of $requirements for $arch could not be fetched; mend the network or index and run this again" >&2
  exit 69
fi
mv "$folder.part" "$folder"
echo "$wanted" > "$folder/.complete"
