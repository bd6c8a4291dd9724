#!/bin/sh
# setup.sh - find what a build or the CI lacks, and install it.
#
#     tools/setup.sh build    what `make`, `make run` and `make test` need
#     tools/setup.sh ci       and what .ci/run needs on top
#     tools/setup.sh arm      and what builds and runs it for 64-bit Arm (preset aarch64)
#
# Says nothing and changes nothing if everything is there. Otherwise prints the command
# and runs it on Debian and Ubuntu (with sudo unless root); elsewhere it lists the
# packages and stops. A thing counts as there if it can be used, wherever it came from.
set -eu

case ${1-} in
build | ci | arm) ;;
*)
    echo "usage: tools/setup.sh build|ci|arm" >&2
    exit 2
    ;;
esac

CMAKE_MIN=3.25
missing=

# need PACKAGE COMMAND...: PACKAGE is missing if COMMAND fails.
need() {
    package=$1
    shift
    "$@" > /dev/null 2>&1 || missing="$missing $package"
}

compiler_there() {
    command -v cc || command -v gcc || command -v clang
}

# A clang that is there may lack the runtime of its sanitizers.
clang_links() {
    scratch=$(mktemp -d)
    echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d && !n; }' \
        > "$scratch/probe.c"
    status=0
    clang -fsanitize=fuzzer,address "$scratch/probe.c" -o "$scratch/probe" || status=1
    rm -rf "$scratch"
    return $status
}

# A library of the other architecture, by the name that pkg-config knows.
arm_library() {
    need "$1:arm64" test -e "/usr/lib/aarch64-linux-gnu/pkgconfig/$2.pc"
}

find_missing() {
    missing=
    if [ "$1" = arm ]; then
        need gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
        need qemu-user command -v qemu-aarch64
        arm_library libpcre2-dev libpcre2-8
        arm_library libjansson-dev jansson
        arm_library zlib1g-dev zlib
        arm_library libedit-dev libedit
        arm_library libcmocka-dev cmocka
        return 0
    fi
    need gcc compiler_there
    need cmake command -v cmake
    need pkg-config command -v pkg-config
    need libpcre2-dev pkg-config --exists libpcre2-8
    need libjansson-dev pkg-config --exists jansson
    need libedit-dev pkg-config --exists libedit
    need zlib1g-dev pkg-config --exists zlib
    need libcmocka-dev pkg-config --exists cmocka
    need python3 command -v python3
    [ "$1" = ci ] || return 0
    need gcc command -v gcc
    need g++ command -v c++
    need git command -v git
    need clang command -v clang
    need libclang-rt-dev clang_links
    need clang-format command -v clang-format
    need clang-tidy command -v clang-tidy
}

# Presets of version 6 want CMake 3.25.
check_cmake() {
    found=$(cmake --version | sed -n '1s/[^0-9]*\([0-9.]*\).*/\1/p')
    oldest=$(printf '%s\n%s\n' "$CMAKE_MIN" "$found" | sort -V | head -n 1)
    [ "$oldest" = "$CMAKE_MIN" ] && return 0
    echo "setup: CMake $found is too old, $CMAKE_MIN or later is needed" >&2
    echo "setup: (Debian 12, Ubuntu 24.04, cmake.org or 'pip install cmake' have it)" >&2
    exit 1
}

find_missing "$1"
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # a list of words
    missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ' | sed 's/ $//')
    as_root=
    [ "$(id -u)" = 0 ] || as_root="sudo "
    if ! command -v apt-get > /dev/null 2>&1; then
        echo "setup: missing (by their Debian names): $missing" >&2
        echo "setup: please install them with this system's package manager, then run make again" >&2
        exit 1
    fi
    architecture=
    [ "$1" != arm ] || architecture="${as_root}dpkg --add-architecture arm64 && "
    install="$architecture${as_root}apt-get update && ${as_root}apt-get install -y --no-install-recommends $missing"
    echo "setup: missing: $missing" >&2
    echo "setup: $install" >&2
    if [ -n "$as_root" ] && ! command -v sudo > /dev/null 2>&1; then
        echo "setup: this needs root and there is no sudo; please run it as root" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    sh -c "$install" >&2 || {
        echo "setup: that failed; please install $missing by hand" >&2
        exit 1
    }
    find_missing "$1"
    if [ -n "$missing" ]; then
        echo "setup: still missing after the installation:$missing" >&2
        exit 1
    fi
fi
check_cmake
