#!/usr/bin/env bash
# Makes the ServiceAccount of a Slurm bridge with the rights of config/rbac/bridge.yaml, and its kubeconfig, with a token in a file
# beside it that the bridge renews. Run it with the rights to make all that in the namespace, then move both files to the login node,
# into one folder.
#
#   hack/bridge-kubeconfig.sh NAMESPACE [NAME [FOLDER [DURATION]]]
#
# NAME is that of the bridge (default), FOLDER where the files go (~/.config/tigerflow), DURATION how long the token lives (168h): a
# bridge that is down for longer needs a new one.
set -euo pipefail
(($# >= 1 && $# <= 4)) || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

namespace=$1 name=${2:-default} folder=${3:-${XDG_CONFIG_HOME:-$HOME/.config}/tigerflow} duration=${4:-168h}
kubeconfig=$folder/$name.kubeconfig token=$folder/$name.token
[[ $name =~ ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ ]] || { echo "NAME $name: give lower-case letters, digits and dashes" >&2; exit 2; }
umask 077
mkdir -p "$folder"

sed "s/tigerflow-bridge-default/tigerflow-bridge-$name/" "$(dirname "$0")/../config/rbac/bridge.yaml" |
  kubectl apply --server-side --namespace "$namespace" --filename - >&2
kubectl create token "tigerflow-bridge-$name" --namespace "$namespace" --duration "$duration" > "$token.new"
# The cluster of the present context, without the user's own credentials.
kubectl config view --raw --minify --flatten > "$kubeconfig.new"
edit() { kubectl config --kubeconfig "$kubeconfig.new" "$@" > /dev/null; }
edit unset users
edit rename-context "$(kubectl config --kubeconfig "$kubeconfig.new" current-context)" bridge
edit set users.bridge.tokenFile "$name.token"
edit set-context bridge --user bridge --namespace "$namespace"
mv "$token.new" "$token"
mv "$kubeconfig.new" "$kubeconfig"
echo "$kubeconfig and $token"
