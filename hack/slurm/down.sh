#!/usr/bin/env bash
# End the cluster of LAB: the kernel ends all that runs in it together with its first process. LAB/shared and LAB/log stay.
set -euo pipefail
lab=${LAB:-${TIGERFLOW_LAB:-/srv/tigerflow-slurm}}
[[ -s $lab/pid ]] || exit 0
pid=$(cat "$lab/pid")
# The number may be another process's by now.
if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q '/inner\.sh\|/etc/slurm/init\.sh'; then
	kill -9 "$pid"
	while [[ -e /proc/$pid ]]; do sleep 0.05; done
fi
rm -f "$lab/pid"
