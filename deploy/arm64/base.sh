#!/usr/bin/env bash
# Make FOLDER a small Debian 12 with Python 3.11, for 64-bit Arm unless told: 125 MB, no service, no root password, no device.
#   base.sh FOLDER [amd64|arm64]
# Unpacked, not configured: no package's own script runs, so it takes seconds, and what those scripts would have made
# and is needed is made here. A second run does nothing. Exit status 69 and one sentence when Debian is out of reach.
set -euo pipefail

folder=$1 arch=${2:-arm64}
if [ -e "$folder/etc/edgewise-base" ]; then exit 0; fi

packages=python3.11,python3.11-venv,libstdc++6,libgcc-s1,zlib1g,ca-certificates
packages+=,bash,base-files,base-passwd,coreutils,dash,grep,libc-bin,passwd   # what building an image runs
rm -rf "$folder" "$folder.part"
mkdir -p "$(dirname "$folder")"
echo "· a small Debian 12 for $arch into $folder"
if ! said=$(mmdebstrap --quiet --arch="$arch" --variant=extract --include="$packages" bookworm "$folder.part" 2>&1); then
  tail -3 <<<"$said" >&2
  echo "Debian for $arch could not be fetched; mend the network and run this again" >&2
  exit 69
fi
cp "$folder.part/usr/share/base-passwd/passwd.master" "$folder.part/etc/passwd"
cp "$folder.part/usr/share/base-passwd/group.master" "$folder.part/etc/group"
rm -rf "$folder.part"/usr/share/{doc,locale,man,info}/* "$folder.part"/var/{cache,lib}/apt/*
chmod 755 "$folder.part"   # mmdebstrap leaves the mode of a temporary folder
touch "$folder.part/etc/edgewise-base"
mv "$folder.part" "$folder"
