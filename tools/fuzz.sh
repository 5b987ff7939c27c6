#!/usr/bin/env bash
# Runs each fuzz target of the module for a time, one after the other: tools/fuzz.sh TIME [PACKAGES]
set -euo pipefail
cd "$(dirname "$0")/.."
time=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
count=0
for package in $(go list "${@:-./...}"); do
	compgen -G "$(go list -f '{{.Dir}}' "$package")/*_test.go" >/dev/null || continue
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "== $package $target"
		# Without a bound the making smaller of what is of interest takes a minute at a time, and nothing new is tried.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 50x "$package" | tee "$log" || {
			# The tool itself may say so at the end of its time; what is found is told with its input.
			grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input' "$log" || exit 1
		}
		count=$((count + 1))
	done
done
echo "$count targets"
[ "$count" -gt 0 ]
