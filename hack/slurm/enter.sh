#!/usr/bin/env bash
# Run a command inside the cluster of LAB: enter.sh [-u USER] [COMMAND…], in the current folder if it is below LAB/shared.
set -euo pipefail
lab=${LAB:-${TIGERFLOW_LAB:-/srv/tigerflow-slurm}}
pid=$(cat "$lab/pid")
user=root home=/root dir=/
if [[ ${1:-} == -u ]]; then
	user=$2 home=/home/$2
	shift 2
fi
(($#)) || set -- bash
if [[ $PWD/ == $lab/shared/* ]]; then
	dir=$PWD
fi
# Of the environment outside only what is said by the test goes in.
mapfile -t env < <(env | grep '^TIGERFLOW_' || true)
exec nsenter --target "$pid" --net --mount --pid --uts --ipc --wdns="$dir" -- \
	setpriv --reuid "$user" --regid "$user" --init-groups \
	env --default-signal=HUP -i "${env[@]}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" USER="$user" LOGNAME="$user" TERM="${TERM:-dumb}" LANG=C.UTF-8 "$@"
