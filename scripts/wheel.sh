#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh virtual environment, and runs its tests, types and documentation there, without the
# repository on the path.
#
#   scripts/wheel.sh            a build of the dev profile, which shares target/ with the rest
#   scripts/wheel.sh release    an optimised wheel and a source distribution, in target/wheels; that one is built, too
#
# Tests run on the Python that `python3` is and, some of them, on the newest other one; with `release` all of them on every
# Python that there is.
# The environment of programs that are needed is kept in target/wheel-tools, and anew where it lacks something.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
profile=${1:-dev}
tools=$root/target/wheel-tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() {
    printf 'SKIPPED: %s: %s\n' "$1" "$2"
    if [ -n "${CLIPCORE_SKIPS:-}" ]; then printf 'SKIPPED: %s: %s\n' "$1" "$2" >>"$CLIPCORE_SKIPS"; fi
}
say() { printf -- '-- %s\n' "$*"; }

# Every Python for which the packages below have wheels, newest first after `python3` itself; pyenv keeps its own off the path.
candidates=(python3 python3.{14..10})
if command -v pyenv >/dev/null 2>&1; then
    mapfile -t -O "${#candidates[@]}" candidates < <(pyenv versions --bare | sort -rV | sed "s|.*|$(pyenv root)/versions/&/bin/python3|")
fi
pythons=() seen=" "
for name in "${candidates[@]}"; do
    path=$(command -v "$name" 2>/dev/null) || continue
    version=$("$path" -c 'import ensurepip, sys, venv; assert (3, 10) <= sys.version_info < (3, 15); print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $seen in *" $version "*) ;; *) pythons+=("$path") seen+="$version " ;; esac
done
if [ ${#pythons[@]} -eq 0 ]; then
    skip "wheel" "there is no Python 3.10 or newer"
    exit 0
fi
if [ ${#pythons[@]} -eq 1 ]; then skip "the wheel on a second Python" "there is only$seen"; fi
if [ "$profile" = dev ]; then pythons=("${pythons[@]:0:2}"); fi

# The tools stand apart from the environment under test, so that this has nothing that its users would lack.
wanted=(maturin==1.16.0 mypy==2.4.1 mkdocs-material==9.8.2 'mkdocstrings[python]==1.0.8' black==26.10.1)
if ! [ -x "$tools/bin/maturin" ] || [ "$(cat "$tools/wanted" 2>/dev/null)" != "${wanted[*]}" ]; then
    rm -rf "$tools"
    if ! { "${pythons[0]}" -m venv "$tools" && "$tools/bin/pip" install --quiet "${wanted[@]}"; } >"$work/pip.log" 2>&1; then
        skip "wheel" "pip could not install its tools: $(tail -n 1 "$work/pip.log")"
        exit 0
    fi
    printf '%s' "${wanted[*]}" >"$tools/wanted"
fi

say "build ($profile)"
PATH="$tools/bin:$PATH"
case $profile in
    dev)
        out=$root/target/wheels-dev
        rm -rf "$out"
        maturin build --quiet --profile dev -m clipcore-py/Cargo.toml -i "${pythons[0]}" -o "$out"
        ;;
    release)
        out=$root/target/wheels
        rm -rf "$out"
        # zig brings an old glibc's symbols, so that the wheel runs on systems older than this one.
        "$tools/bin/pip" install --quiet ziglang==0.17.1
        maturin build --quiet --release --zig --compatibility manylinux_2_28 -m clipcore-py/Cargo.toml -i "${pythons[0]}" -o "$out"
        maturin sdist -m clipcore-py/Cargo.toml -o "$out"
        ;;
    *)
        echo "usage: scripts/wheel.sh [dev|release]" >&2
        exit 2
        ;;
esac
wheel=$(ls "$out"/clipcore-*.whl)
printf '%s\n' "${wheel##*/}"

# What the tests need lies outside of the repository, and so do they.
cp -r clipcore-py/tests "$work/tests"
cp clipcore-py/pyproject.toml "$work/tests/pyproject.toml"
cp -r examples/python "$work/examples"
mkdir "$work/docs"
cp -r docs/. "$work/docs"
cp clipcore-py/README.md "$work/docs/README.md"
if [ -x target/debug/clipcore ]; then export CLIPCORE_PROGRAM=$root/target/debug/clipcore; fi
if [ -d "${CLIPCORE_SHARED:-$root/../shared}" ]; then
    CLIPCORE_SHARED=$(cd "${CLIPCORE_SHARED:-$root/../shared}" && pwd)
    export CLIPCORE_SHARED
fi
export CLIPCORE_DOCS=$work/docs

# The source distribution, as pip builds it on a machine without a wheel: from nothing but the archive and the crates in cargo's own
# cache. Not optimised, since that takes much longer and shows no more. Other people's crates are kept for the next time; clipcore's own
# must go, or cargo takes the old files of the archive for built ones.
if [ "$profile" = release ]; then
    say "a wheel from the source distribution"
    (
        cd "$work"
        rm -rf "$root"/target/sdist/debug/.fingerprint/clipcore*
        MATURIN_PEP517_ARGS="--profile dev" CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=$root/target/sdist \
            "${pythons[0]}" -m pip wheel --quiet --no-deps --no-cache-dir -w built "$out"/clipcore-*.tar.gz
        "${pythons[0]}" -m venv venv-built
        venv-built/bin/pip install --quiet built/clipcore-*.whl pytest
        venv-built/bin/python -m pytest -c tests/pyproject.toml tests/test_replay.py
    )
fi

first=yes
for python in "${pythons[@]}"; do
    say "$("$python" --version): a fresh environment"
    venv=$work/venv-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -m venv "$venv"
    (
        cd "$work"
        "$venv/bin/pip" install --quiet "$wheel"
        env -u PYTHONPATH PATH=/nowhere "$venv/bin/python" -c 'import clipcore; print("clipcore", clipcore.__version__, "with numpy alone, no program on the path")'
        "$venv/bin/pip" install --quiet "$wheel[test,pandas,arrow,plot,progress,onnxruntime]" scikit-learn
        say "tests"
        what=(tests)
        # The version of Python matters to the binding first of all; `release` runs all tests on all of them.
        if [ "$profile$first" = devno ]; then what=(tests/test_{detector,replay,run}.py); fi
        "$venv/bin/python" -m pytest -c tests/pyproject.toml "${what[@]}"
        say "examples"
        "$venv/bin/python" examples/sklearn_detector.py
        if "$venv/bin/python" -c 'import torch' 2>/dev/null; then
            "$venv/bin/python" examples/torch_detector.py
        else
            skip "the PyTorch example" "torch is not installed"
        fi
    )
    if [ "$first" = yes ]; then
        say "types"
        (
            cd "$work"
            "$tools/bin/mypy" --config-file tests/pyproject.toml --python-executable "$venv/bin/python" -p clipcore
            "$venv/bin/pip" install --quiet mypy==2.4.1
            "$venv/bin/python" -m mypy.stubtest clipcore --mypy-config-file tests/pyproject.toml --allowlist "$root/clipcore-py/stubtest-allowlist.txt"
        )
    fi
    first=no
done

say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet -p clipcore --features full --no-deps
NO_MKDOCS_2_WARNING=1 "$tools/bin/mkdocs" build --quiet
# Python and Rust on one site; mkdocs does not check links that leave its pages.
cp -r target/doc target/site/rustdoc
for page in $(grep -o 'href="\.\./rustdoc/[^"]*' target/site/rust/index.html | cut -d'"' -f2); do
    [ -f "target/site/rust/$page" ] || { printf 'docs/rust.md links to %s, which is not there\n' "$page" >&2; exit 1; }
done
printf 'target/site/index.html\n'
