#!/usr/bin/env bash
# Makes a Python environment with a server that speaks S3, for tests: target/moto. Needs pip and a network, once.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-5.1.18} venv=target/moto
[ "$(cat "$venv/version" 2>/dev/null)" = "$version" ] && exit
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "moto[s3,server]==$version"
echo "$version" >"$venv/version"
