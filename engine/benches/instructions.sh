#!/usr/bin/env bash
# Instructions of one operation: (I(2k) - I(k)) / k, counted by callgrind, so that start and set-up cancel out.
# An operation of a stream is one upstream event.
#
#   engine/benches/instructions.sh [FILTER]     FILTER: part of `case/sizeKB`, such as `request` or `/10KB`
set -euo pipefail

if ! command -v valgrind >/dev/null; then
  echo "valgrind is not installed: no instruction counts (apt install valgrind)"
  exit 0
fi

cd "$(dirname "$0")/../.."
filter=${1:-}
bench=$(cargo bench --quiet -p interlingua-engine --bench translate --no-run --message-format=json |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)

# count VARIANT CASE SIZE N: prints the instructions and the operations of a call
count() {
  local log
  log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" --once "$@" 2>&1)
  sed -n -e 's/.*Collected : \([0-9]*\).*/\1/p' -e 's/^operations \([0-9]*\)$/\1/p' <<<"$log" | sort -n | paste -sd ' '
}

printf '%-14s %-10s %14s %9s\n' case variant instructions 'to owned'
for case in request response stream; do
  for size in 1 10 100; do
    label="$case/${size}KB"
    [[ $label == *"$filter"* ]] || continue
    k=$((1000 / size + 10)) # few of them would be lost in what hashing costs at the start
    results=()
    owned=0
    for variant in $("$bench" --list); do
      read -r operations once < <(count "$variant" "$case" "$size" "$k")
      read -r _ twice < <(count "$variant" "$case" "$size" "$((2 * k))")
      each=$(((twice - once) / k / operations))
      [[ $variant != owned ]] || owned=$each
      results+=("$variant $each")
    done
    for result in "${results[@]}"; do
      read -r variant each <<<"$result"
      awk -v label="$label" -v variant="$variant" -v each="$each" -v owned="$owned" \
        'BEGIN { printf "%-14s %-10s %14d %8.2fx\n", label, variant, each, each / owned }'
    done
  done
done
