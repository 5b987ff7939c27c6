#!/bin/sh
# Tells CloudWatch the backlog that the coordinator on this host exports: one value a pool, in seconds of media, in the
# namespace recfleet under the name recfleet_backlog_media_seconds. recfleet-backlog.timer runs it once a minute on every
# coordinator's host; they all say the same, so that policies take the maximum.
#
# It needs curl, awk, the AWS CLI, and the right cloudwatch:PutMetricData. METRICS_URL says where the coordinator's metrics are.
set -eu

url=${METRICS_URL:-http://127.0.0.1:9464/metrics}
metric=recfleet_backlog_media_seconds

told=$(curl --fail --silent --show-error --max-time 10 "$url")
data=$(printf '%s\n' "$told" | awk -v metric="$metric" '
	index($1, metric "{pool=\"") == 1 {
		pool = substr($1, length(metric) + 8)
		sub(/"}$/, "", pool)
		if (pool !~ /^[a-z0-9][a-z0-9._-]*$/ || $2 !~ /^[0-9.e+]+$/) next
		printf "%s{\"MetricName\":\"%s\",\"Dimensions\":[{\"Name\":\"pool\",\"Value\":\"%s\"}],\"Unit\":\"Seconds\",\"Value\":%s}", comma, metric, pool, $2
		comma = ","
	}')
if [ -z "$data" ]; then
	echo "backlog-to-cloudwatch: $url says nothing of $metric" >&2
	exit 1
fi
exec aws cloudwatch put-metric-data --namespace recfleet --metric-data "[$data]"
