#!/usr/bin/env bash
# Runs many schedules, on all processors: run.sh [COUNT in all [FIRST SEED]]. 100,000 take a few
# minutes, a million an hour or less. Of the last regime, turns, one schedule comes to a hundred of
# each of the others.
set -euo pipefail
cd "$(dirname "$0")/../.."
count=${1:-100000} first=${2:-1} regimes=14 workers=$(nproc)
each=$(((count + regimes * workers - 1) / (regimes * workers)))
program=$(mktemp)
trap 'rm -f "$program"' EXIT
go test -c -o "$program" ./internal/sim
pids=()
for ((i = 0; i < workers; i++)); do
  "$program" -test.run=TestSimulation -test.v -test.timeout=0 -sim.count="$each" -sim.seed=$((first + i * each)) &
  pids+=($!)
done
bad=0
for pid in "${pids[@]}"; do wait "$pid" || bad=1; done
exit $bad
