#!/usr/bin/env bash
# Makes Python environments with stock RQ workers for tests: target/rq-2 and target/rq-3. Needs pip and a network, once.
set -euo pipefail
cd "$(dirname "$0")/.."
for version in ${*:-2.12.0 3.0.0}; do
    venv=target/rq-${version%%.*}
    [ "$(cat "$venv/version" 2>/dev/null)" = "$version" ] && continue
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "rq==$version"
    echo "$version" >"$venv/version"
done
