#!/bin/sh
# Debian's packages that the tests beside this file use. Without root or apt nothing is installed.
set -eu

# The headers of ONNX Runtime, for the example in C++: no package of Debian has them, one of npm does.
headers=/usr/local/include/onnxruntime
if [ ! -d "$headers" ] && [ ! -d /usr/include/onnxruntime ] && [ "$(id -u)" = 0 ] && command -v npm >/dev/null; then
    folder=$(mktemp -d)
    if (cd "$folder" && npm pack --silent com.github.asus4.onnxruntime@0.4.9 >/dev/null); then
        mkdir -p "$folder/include"
        tar -xzf "$folder"/*.tgz -C "$folder/include" --strip-components=7 --wildcards '*/ios-arm64/*/Headers/*.h'
        mv "$folder/include" "$headers"
    fi
    rm -rf "$folder"
fi

missing=""
[ -n "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || missing="$missing postgresql"
[ -n "$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null)" ] || missing="$missing faketime"
command -v g++ >/dev/null || missing="$missing g++"
command -v chromium >/dev/null || missing="$missing chromium"
[ -d /usr/include/opencv4 ] || missing="$missing libopencv-imgcodecs-dev"
command -v promtool >/dev/null || missing="$missing prometheus"
command -v strace >/dev/null || missing="$missing strace"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed:$missing; the tests that need them are skipped"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null || echo "not all could be installed:$missing"
