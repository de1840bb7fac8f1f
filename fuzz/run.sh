#!/usr/bin/env bash
# Runs the targets that are named, or all, for FUZZ_SECONDS (60) each, and says how far each came. Stops at the first that
# finds something; cargo-fuzz then says how to run its input again.
set -euo pipefail
cd "$(dirname "$0")"
export RUSTC_BOOTSTRAP=1
seconds=${FUZZ_SECONDS:-60}
[ $# -gt 0 ] || set -- fuzz_targets/*.rs
cargo fuzz build -s none
printf '%-12s %10s %8s %16s\n' target executions exec/s coverage
for target; do
    target=$(basename "$target" .rs)
    options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1)
    case $target in
    fragments | progressive | recording) options+=(-dict=mp4.dict -max_len=40000) ;;
    picture) options+=(-dict=jpeg.dict -max_len=8192) ;;
    onnx_graph | aac | h264 | faces | webhook | pcm) ;;
    card | weights | labels) options+=(-max_len=8192) ;;
    *) options+=(-dict=json.dict -max_len=8192) ;;
    esac
    mkdir -p artifacts
    log=artifacts/$target.log
    cargo fuzz run -s none "$target" -- "${options[@]}" >"$log" 2>&1 || { tail -n 40 "$log"; exit 1; }
    number() { sed -nE "s/.*$1 *([0-9]+).*/\1/p" "$log" | tail -n 1; }
    start=$(sed -nE 's/.*INITED +cov: ([0-9]+).*/\1/p' "$log" | head -n 1)
    printf '%-12s %10s %8s %7s → %6s\n' "$target" "$(number number_of_executed_units:)" \
        "$(number average_exec_per_sec:)" "$start" "$(number cov:)"
done
