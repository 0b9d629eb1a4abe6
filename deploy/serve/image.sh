#!/usr/bin/env bash
# Build Dockerfile.serve with docker or buildah and write BUILD/edgewise-serve-ARCH.tar, for `docker load` and a registry.
#   image.sh PYTHON BUILD [amd64|arm64]
# $BASE names a base image to build on; without it the Dockerfile's own, and where that cannot be had, one made here
# from Debian's packages. Exit status 69 and one sentence when this machine cannot build it.
set -euo pipefail
cd "$(dirname "$0")/../.."

case $(uname -m) in x86_64) here=amd64 ;; aarch64) here=arm64 ;; *) here=$(uname -m) ;; esac
python=$1 build=$2 arch=${3:-$here}
image=edgewise-serve:$arch
archive=$build/edgewise-serve-$arch.tar
unavailable() { echo "$1" >&2; exit 69; }
case $arch in amd64 | arm64) ;; *) echo "image.sh: $arch is neither amd64 nor arm64" >&2; exit 2 ;; esac

docker_answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }
tools=()
docker_answers || tools=(buildah)
if [ "$arch" != "$here" ]; then
  [ "$arch" = arm64 ] || unavailable "an image for $arch is built on a machine of its kind, and this one is $here"
  deploy/arm64/emulator.sh --install "${tools[@]}"
elif [ ${#tools[@]} -gt 0 ]; then
  command -v buildah >/dev/null || unavailable 'building an image needs docker or buildah; run: sudo apt-get install buildah'
fi
# A store of our own, and plain copies: overlay mounts are often not allowed inside a container.
buildah() { command buildah --root "$PWD/$build/images" --runroot "$PWD/$build/images-run" --storage-driver vfs "$@"; }

mkdir -p "$build"
deploy/arm64/wheels.sh "$python" requirements/serve.txt "$build/wheels-$arch" "$arch"
rm -rf "$build/dist"
"$python" -m hatchling build --target wheel --directory "$build/dist" >/dev/null 2>&1

own_base() {   # a Debian with Python, as an image
  deploy/arm64/base.sh "$build/base-$arch" "$arch" >&2
  if docker_answers; then
    tar -C "$build/base-$arch" -c . | docker import --platform "linux/$arch" - "edgewise-base:$arch" >/dev/null
  else
    local container
    container=$(buildah from --arch "$arch" scratch)
    buildah add --quiet "$container" "$build/base-$arch" / >/dev/null
    buildah config --arch "$arch" --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet --rm "$container" "edgewise-base:$arch" >/dev/null
  fi
  echo "edgewise-base:$arch"
}

base=${BASE:-$(sed -n 's/^ARG BASE=//p' Dockerfile.serve)}
if docker_answers; then
  docker pull --quiet --platform "linux/$arch" "$base" >/dev/null 2>&1 || docker image inspect "$base" >/dev/null 2>&1 || own=yes
else
  buildah pull --quiet --arch "$arch" "$base" >/dev/null 2>&1 || own=yes
fi
if [ -n "${own:-}" ]; then
  echo "· $base cannot be had here: building on Debian's own packages instead"
  base=$(own_base)
fi

echo "· $image on $base"
log=$build/image-$arch.log
if docker_answers; then
  DOCKER_BUILDKIT=1 docker build --platform "linux/$arch" --build-arg BASE="$base" --build-arg WHEELS="$arch" \
    --file Dockerfile.serve --tag "$image" . >"$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }
  docker save --output "$archive" "$image"
  if [ "$arch" = "$here" ]; then
    "$python" -m deploy.serve.try_image docker "$image"
  else   # LiteRT crashes under an emulator that shows it this machine's processor
    docker run --rm --read-only --cap-drop ALL --platform "linux/$arch" "$image" --version
    echo "· only asked for its version: try it on a machine of its kind"
  fi
else
  # --format docker: the OCI format knows no health check.
  QEMU_CPU=cortex-a72 buildah bud --format docker --isolation chroot --arch "$arch" --pull-never --build-arg BASE="$base" \
    --build-arg WHEELS="$arch" --ignorefile Dockerfile.serve.dockerignore --file Dockerfile.serve --tag "$image" . \
    >"$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }
  rm -f "$archive"
  buildah push --quiet "$image" "docker-archive:$archive:$image"
  container=$(buildah from --arch "$arch" --pull-never "$image")
  trap 'buildah rm "$container" >/dev/null; buildah rmi --prune >/dev/null 2>&1 || true' EXIT
  if [ "$(id -u)" = 0 ]; then
    BUILDAH="buildah --root $PWD/$build/images --runroot $PWD/$build/images-run --storage-driver vfs" \
      "$python" -m deploy.serve.try_image buildah "$container"
  else
    echo '· only asked for its version, for running it without docker needs root'
    buildah run --isolation chroot --env QEMU_CPU=cortex-a72 "$container" -- edgewise-serve --version
  fi
fi
echo "$archive: $(du -m "$archive" | cut -f1) MB"
