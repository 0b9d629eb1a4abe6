# shellcheck shell=bash disable=SC2034
# Sourced, with $arch where it is not 64-bit Arm: what pip has to be told to choose wheels for the device instead of for this machine.
# A wheel names the oldest glibc it runs on, 2.17 to 2.34; Debian 12 and Raspberry Pi OS of 2023 have 2.36.
case ${arch:-arm64} in amd64) machine=x86_64 ;; *) machine=aarch64 ;; esac
target=(--only-binary=:all: --implementation cp --python-version 311 --platform "manylinux2014_$machine")
for glibc in 2_17 2_26 2_27 2_28 2_31 2_34; do target+=(--platform "manylinux_${glibc}_$machine"); done
