#!/usr/bin/env bash
# Every check there is: `make test`. Goes on after a failure, and ends with what failed and what was skipped.
set -uo pipefail
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
read -ra cargo <<<"$CARGO"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CLIPCORE_SKIPS="$work/skips" CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
: >"$CLIPCORE_SKIPS"
failed=()

step() { # step NAME COMMAND...
    local name=$1 from=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        printf '== %s: ok (%d s)\n' "$name" $((SECONDS - from))
    else
        printf '== %s: FAILED (%d s)\n' "$name" $((SECONDS - from))
        failed+=("$name")
    fi
}
skip() { printf 'SKIPPED: %s: %s\n' "$1" "$2" | tee -a "$CLIPCORE_SKIPS"; }

# Tests of live streams mostly wait for the stream: more of them at a time than there are cores.
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((cores < 4 ? 3 * cores : cores + 6))}

features=(--features clipcore-cli/otlp)
tests() { "${cargo[@]}" test --workspace --no-fail-fast "${features[@]}" 2>&1 | tee "$work/tests.log"; }

each_feature() { # each feature alone, and none; accelerators together, and those that add little of their own
    local feature accelerators=() small=()
    "${cargo[@]}" check --quiet -p clipcore --lib --no-default-features || return 1
    for feature in $(awk '/^\[features\]/ { on = 1; next } /^\[/ { on = 0 } on && /^[a-z]/ { print $1 }' clipcore/Cargo.toml); do
        case $feature in
            default | full) continue ;; # the tests have these
            kafka-tls) continue ;;      # minutes of OpenSSL: make soak
            onnx-*) accelerators+=("$feature") ;;
            redis-tls | rq | catalog | object-store | otlp) small+=("$feature") ;;
            *)
                printf 'feature %s\n' "$feature"
                "${cargo[@]}" check --quiet -p clipcore --lib --no-default-features --features "$feature" || return 1
                ;;
        esac
    done
    for feature in "${small[*]}" "${accelerators[*]}"; do
        printf 'features %s\n' "$feature"
        "${cargo[@]}" check --quiet -p clipcore --lib --no-default-features --features "$feature" || return 1
    done
}

examples() { # those that need no input of their own, as the tests have built them
    local file name
    for file in examples/*.rs; do
        name=$(basename "$file" .rs)
        [ "$name" = lib ] && continue
        printf -- '-- %s\n' "$name"
        "target/debug/examples/$name" >"$work/example.log" 2>&1 ||
            { cat "$work/example.log"; return 1; }
        tail -n 3 "$work/example.log"
    done
}

# The native inference backend is tested with the library of a Python wheel; without it those tests are skipped and say so.
onnxruntime() {
    local venv=target/onnxruntime version=1.24.4
    [ -n "${CLIPCORE_ONNXRUNTIME:-}" ] && return
    if ! ls "$venv"/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so."$version" >/dev/null 2>&1; then
        rm -rf "$venv"
        { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --no-deps "onnxruntime==$version"; } >"$work/pip.log" 2>&1 ||
            { skip "native inference" "pip could not install onnxruntime $version: $(tail -n 1 "$work/pip.log")"; return; }
    fi
    CLIPCORE_ONNXRUNTIME=$(ls "$PWD/$venv"/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so."$version")
    export CLIPCORE_ONNXRUNTIME
}

# Jobs are run by stock RQ workers; without them those tests are skipped and say so.
rq_workers() {
    scripts/rq.sh >"$work/rq.log" 2>&1 || skip "RQ workers" "pip could not install rq: $(tail -n 1 "$work/rq.log")"
}

# Clips go to a server that speaks S3; without it those tests are skipped and say so.
s3_server() {
    scripts/s3.sh >"$work/s3.log" 2>&1 || skip "object stores over S3" "pip could not install moto: $(tail -n 1 "$work/s3.log")"
}

# The log over Kafka is tested against a broker of its own; without one those tests are skipped and say so.
kafka() {
    if scripts/kafka.sh >"$work/kafka.log" 2>&1; then
        features+=(--features clipcore-cli/kafka)
    else
        skip "the log over Kafka" "no broker: $(tail -n 1 "$work/kafka.log")"
    fi
}

# What a server answers is held against its description; without schemathesis that is skipped and says so.
api() {
    scripts/api.sh --install >"$work/api.log" 2>&1 ||
        { skip "the API's description" "pip could not install schemathesis: $(tail -n 1 "$work/api.log")"; return; }
    scripts/api.sh 10 # of the program that the tests have built
}

wasm() { "${cargo[@]}" check --quiet -p clipcore --lib --no-default-features --target wasm32-unknown-unknown; }

onnxruntime
rq_workers
s3_server
kafka
step "tests" tests
step "API" api
step "features" each_feature
if [ -d "$(rustc --print target-libdir --target wasm32-unknown-unknown 2>/dev/null)" ]; then
    step "wasm32" wasm
else
    skip "wasm32" "the target is not installed (rustup target add wasm32-unknown-unknown)"
fi
step "examples" examples
step "wheel" scripts/wheel.sh
if "${cargo[@]}" clippy --version >/dev/null 2>&1; then
    step "clippy" "${cargo[@]}" clippy --quiet --workspace --all-targets -- -D warnings
else
    skip "clippy" "not installed (rustup component add clippy)"
fi
if "${cargo[@]}" fmt --version >/dev/null 2>&1; then
    step "format" "${cargo[@]}" fmt --all --check
else
    skip "format" "not installed (rustup component add rustfmt)"
fi
if "${cargo[@]}" deny --version >/dev/null 2>&1; then
    step "licences" "${cargo[@]}" deny check licenses bans sources
else
    skip "licences" "cargo-deny is not installed"
fi

printf '\n'
if [ -s "$CLIPCORE_SKIPS" ]; then
    sort -u "$CLIPCORE_SKIPS"
fi
awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
     END { printf "%d passed, %d failed, %d ignored (make soak runs those)", passed, failed, ignored }' "$work/tests.log"
printf '; %d skipped; %d s in all\n' "$(sort -u "$CLIPCORE_SKIPS" | wc -l)" "$SECONDS"
if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED: %s\n' "${failed[*]}"
    exit 1
fi
