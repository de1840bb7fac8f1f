#!/usr/bin/env bash
# Installs the programs that clipcore and its tests use, where they are missing. Running it again does nothing.
# Debian and Ubuntu; elsewhere it says what is needed. ffmpeg is all that clipcore itself needs.
set -euo pipefail

say() { printf 'setup: %s\n' "$*"; }
has() { PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null 2>&1; }

if ! has cargo; then
    say "Rust 1.88 or newer is missing: install it with rustup, then run this again" >&2
    exit 1
fi

packages=()
want() { # want PACKAGE COMMAND...
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || packages+=("$package")
}
any_file() { # whether one of the names is a file
    local name
    for name; do
        if [ -f "$name" ]; then return 0; fi
    done
    return 1
}
rtmp_module() {
    PATH="$PATH:/usr/sbin" nginx -V 2>&1 | grep -q -- '--add-module=[^ ]*rtmp' ||
        any_file /usr/lib/nginx/modules/ngx_rtmp_module.so /usr/lib64/nginx/modules/ngx_rtmp_module.so
}
python_headers() { any_file /usr/include/python3*/Python.h /usr/local/include/python3*/Python.h; }
rtsp_server() {
    any_file /usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib && any_file /usr/lib/*/gstreamer-1.0/libgstrtp.so &&
        any_file /usr/lib/python3/dist-packages/gi/__init__.py
}
browser() { has chromium || has chromium-browser || has google-chrome; }

want build-essential has cc
want ffmpeg has ffmpeg
want nginx has nginx
want libnginx-mod-rtmp rtmp_module
want redis-server has redis-server
want chromium browser
want python3-dev python_headers
want python3-venv python3 -c 'import ensurepip'
for package in python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good; do
    want "$package" rtsp_server
done

if [ ${#packages[@]} -eq 0 ]; then
    exit 0
fi

if ! has apt-get; then
    say "this is not Debian or Ubuntu; please install by hand what these packages hold:" >&2
    say "  ${packages[*]}" >&2
    say "only ffmpeg and a C linker are needed to build and use clipcore; tests that lack the others are skipped" >&2
    if has ffmpeg && has cc; then exit 0; fi
    exit 1
fi

root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo; then
        say "neither root nor sudo; please have these packages installed: ${packages[*]}" >&2
        if has ffmpeg && has cc; then exit 0; fi
        exit 1
    fi
    root=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -qq "$@" >>"$log" 2>&1; }

# A freshly installed server would start at once and take its port; the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod +x "$policy"
    trap 'rm -f "$log"; "${root[@]}" rm -f "$policy"' EXIT
fi

say "installing ${packages[*]}"
apt update || { tail -n 5 "$log" >&2; say "apt-get update failed; going on with the lists that are there" >&2; }
if ! apt install --no-install-recommends "${packages[@]}"; then
    # One package that a distribution lacks must not keep the others away.
    for package in "${packages[@]}"; do
        apt install --no-install-recommends "$package" || say "could not install $package" >&2
    done
fi
if ! has ffmpeg || ! has cc; then
    tail -n 20 "$log" >&2
    say "ffmpeg and a C linker are needed and could not be installed" >&2
    exit 1
fi
say "done"
