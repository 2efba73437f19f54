#!/usr/bin/env bash
# Join the networks of the Kubernetes cluster of LAB and of the Slurm cluster of SLURM by a link, over which the Slurm cluster reaches the
# API server and nothing else. It goes with either of them.
set -euo pipefail
node=$(cat "$LAB/pid") login=$(cat "$SLURM/pid")
server=$(sed -n 's|.*server: "\?https://\([0-9.]*\):.*|\1|p' "$LAB/admin.kubeconfig")
in_net() { nsenter --target "$1" --net ip "${@:2}"; }
in_net "$node" link del slurm 2>/dev/null || true # of a run that was killed
ip link add slurm netns "$node" type veth peer name kubernetes netns "$login"
in_net "$node" addr add 10.67.0.1/30 dev slurm
in_net "$node" link set slurm up
in_net "$login" addr add 10.67.0.2/30 dev kubernetes
in_net "$login" link set kubernetes up
in_net "$login" route add "$server" via 10.67.0.1
