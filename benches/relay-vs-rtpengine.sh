#!/usr/bin/env bash
# How many two-way G.711 calls our relay carries on one core, beside Debian's rtpengine in user space and the least that a
# relay can do, by turns. The last line is `ratio to rtpengine: X`. Needs two cores; figures need a machine that does nothing
# else.
#
#   REPEAT=5 SECS=3   searches of each peer, and seconds of each trial
#   QUICK=1           one search of each, two seconds: whether it works
#   SRTP=1            encrypted on both legs
#   SKIP_BUILD=1      the release binaries are there
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v "${RTPENGINE:-rtpengine}" >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update --quiet >&2 || true
        apt-get install --quiet --yes --no-install-recommends rtpengine-daemon >&2 || true
    fi
    if ! command -v "${RTPENGINE:-rtpengine}" >/dev/null; then
        echo "rtpengine is missing and cannot be installed here (Debian's package: rtpengine-daemon); RTPENGINE names another binary" >&2
        exit 1
    fi
fi

if [ -z "${SKIP_BUILD:-}" ]; then
    cargo build --release --package medlytt-app >&2
    cargo build --release --package medlytt-benches --bin relay_bench >&2
fi

if [ -n "${QUICK:-}" ]; then
    export REPEAT="${REPEAT:-1}" SECS="${SECS:-2}"
else
    export REPEAT="${REPEAT:-5}" SECS="${SECS:-3}"
fi

target="${CARGO_TARGET_DIR:-target}/release"
export MEDLYTT_BIN="${MEDLYTT_BIN:-$target/medlytt}"
# Descriptors: four a call.
ulimit -n "$(ulimit -Hn)"
exec "$target/relay_bench" ${SRTP:+--srtp} ratio
