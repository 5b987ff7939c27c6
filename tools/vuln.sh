#!/usr/bin/env bash
# Looks for known vulnerabilities that the product's code reaches. Exit codes:
#   0   none
#   3   there are some; they are listed
#   75  not checked: the database cannot be reached. Set GOVULNDB to a copy of it (https://... or file://...), or try again.
# Anything else is a failure of govulncheck itself. There are no exceptions; one would be listed here with its reason.
set -uo pipefail
cd "$(dirname "$0")/.."
report=$(bin/tools/govulncheck ${GOVULNDB:+-db "$GOVULNDB"} ./... 2>&1)
code=$?
if [ "$code" -ne 0 ] && grep -q '^govulncheck: fetching vulnerabilities:' <<<"$report"; then
	echo "vulnerabilities were NOT CHECKED: the database cannot be reached: ${report##*fetching vulnerabilities: }" >&2
	exit 75
fi
echo "$report"
exit "$code"
