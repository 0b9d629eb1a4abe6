#!/usr/bin/env bash
# Build Dockerfile.arm64 with docker or buildah and write BUILD/edgewise-agent-arm64.tar, for `docker load` on a device.
#   image.sh PYTHON BUILD
# $BASE names a base image to build on; without it the Dockerfile's own, and where that cannot be had, one made here
# from Debian's packages. Exit status 69 and one sentence when this machine cannot build it.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$1 build=$2
image=edgewise-agent:arm64
archive=$build/edgewise-agent-arm64.tar
unavailable() { echo "$1" >&2; exit 69; }

docker_answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }
if docker_answers; then
  [ "$(uname -m)" = aarch64 ] || deploy/arm64/emulator.sh --install
else
  deploy/arm64/emulator.sh --install buildah
  command -v buildah >/dev/null || unavailable 'building an image needs docker or buildah; run: sudo apt-get install buildah'
fi
# A store of our own, and plain copies: overlay mounts are often not allowed inside a container.
buildah() { command buildah --root "$PWD/$build/images" --runroot "$PWD/$build/images-run" --storage-driver vfs "$@"; }

deploy/arm64/wheels.sh "$python" requirements/edge.txt "$build/wheels-litert"
rm -rf "$build/dist"
"$python" -m hatchling build --target wheel --directory "$build/dist" >/dev/null 2>&1

own_base() {   # a Debian with Python, as an image
  deploy/arm64/base.sh "$build/base" >&2
  if docker_answers; then
    tar -C "$build/base" -c . | docker import --platform linux/arm64 - edgewise-base:arm64 >/dev/null
  else
    local container
    container=$(buildah from --arch arm64 scratch)
    buildah add --quiet "$container" "$build/base" / >/dev/null
    buildah config --arch arm64 --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet --rm "$container" edgewise-base:arm64 >/dev/null
  fi
  echo 'edgewise-base:arm64'
}

base=${BASE:-$(sed -n 's/^ARG BASE=//p' Dockerfile.arm64)}
if docker_answers; then
  docker pull --quiet --platform linux/arm64 "$base" >/dev/null 2>&1 || docker image inspect "$base" >/dev/null 2>&1 || own=yes
else
  buildah pull --quiet --arch arm64 "$base" >/dev/null 2>&1 || own=yes
fi
if [ -n "${own:-}" ]; then
  echo "· $base cannot be had here: building on Debian's own packages instead"
  base=$(own_base)
fi

echo "· $image on $base: every step runs as an Arm program"
log=$build/image.log
if docker_answers; then
  docker build --platform linux/arm64 --build-arg BASE="$base" --file Dockerfile.arm64 --tag "$image" . >"$log" 2>&1 \
    || { tail -20 "$log" >&2; exit 1; }
  docker save --output "$archive" "$image"
  docker run --rm --platform linux/arm64 "$image" --version
else
  # --format docker: the OCI format knows no health check.
  QEMU_CPU=cortex-a72 buildah bud --format docker --isolation chroot --arch arm64 --pull-never --build-arg BASE="$base" \
    --file Dockerfile.arm64 --tag "$image" . >"$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }
  rm -f "$archive"
  buildah push --quiet "$image" "docker-archive:$archive:$image"
  container=$(buildah from --arch arm64 --pull-never "$image")
  trap 'buildah rm "$container" >/dev/null; buildah rmi --prune >/dev/null 2>&1 || true' EXIT
  buildah run --isolation chroot --env QEMU_CPU=cortex-a72 "$container" -- edgewise-agent --version
fi
echo "$archive: $(du -m "$archive" | cut -f1) MB"
