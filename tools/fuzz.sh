#!/usr/bin/env bash
# Runs each fuzz target of the module for a time, one after the other: tools/fuzz.sh TIME [PACKAGES]
set -euo pipefail
cd "$(dirname "$0")/.."
time=$1
shift
count=0
for package in $(go list "${@:-./...}"); do
	compgen -G "$(go list -f '{{.Dir}}' "$package")/*_test.go" >/dev/null || continue
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
		count=$((count + 1))
	done
done
echo "$count targets"
[ "$count" -gt 0 ]
