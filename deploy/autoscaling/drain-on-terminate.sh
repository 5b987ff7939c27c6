#!/bin/sh
# Runs beside an encoder on an instance of the group. When EC2 Auto Scaling wants to terminate the instance, it stops the
# encoder, which finishes what it holds, and then lets the instance go. An interruption of a spot instance stops it as well;
# what two minutes do not suffice for is given back, or costs one lease.
#
# It needs curl, systemd, the AWS CLI, the lifecycle hook of lifecycle-hook.yaml, and the rights
# autoscaling:CompleteLifecycleAction and autoscaling:RecordLifecycleActionHeartbeat.
set -eu

group=${GROUP:-recencoder}
hook=${HOOK:-recencoder-drain}
unit=${UNIT:-recencoder.service}
every=${EVERY:-5}
imds=${IMDS:-http://169.254.169.254/latest}

token() { curl --fail --silent --max-time 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$imds/api/token"; }
ask() { curl --fail --silent --max-time 2 -H "X-aws-ec2-metadata-token: $(token)" "$imds/meta-data/$1"; }

while :; do
	if [ "$(ask autoscaling/target-lifecycle-state || true)" = Terminated ]; then
		why=hook
		break
	fi
	if ask spot/instance-action >/dev/null; then
		why=spot
		break
	fi
	sleep "$every"
done

instance=$(ask instance-id)
echo "drain-on-terminate: $why: stopping $unit on $instance"
systemctl stop --no-block "$unit" # systemd sends SIGTERM, and kills what remains after TimeoutStopSec
while systemctl is-active --quiet "$unit" || [ "$(systemctl show --property=ActiveState --value "$unit")" = deactivating ]; do
	# The instance stays while it is told of.
	[ "$why" = spot ] || aws autoscaling record-lifecycle-action-heartbeat --lifecycle-hook-name "$hook" \
		--auto-scaling-group-name "$group" --instance-id "$instance" || true
	sleep "$every"
done
[ "$why" = spot ] || exec aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --lifecycle-hook-name "$hook" \
	--auto-scaling-group-name "$group" --instance-id "$instance"
