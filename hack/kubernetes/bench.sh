#!/usr/bin/env bash
# Print what the manager of a cluster costs with 2,000 Tasks, next to the goals. The API server is real, the kubelets are kwok's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
programs=$(hack/kubernetes/build.sh)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

export CGO_ENABLED=0
go -C hack/kubernetes/kwok build -trimpath -ldflags "-s -w" -o "$dir/kwok" sigs.k8s.io/kwok/cmd/kwok
stages=$(go -C hack/kubernetes/kwok list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
for file in "$stages"/node/fast/node-initialize.yaml "$stages"/pod/fast/pod-{ready,delete}.yaml; do
	echo ---
	cat "$file"
done >"$dir/stages.yaml"
go build -trimpath -ldflags "-s -w" -o "$dir/manager" ./cmd/manager
go build -o "$dir/bench" ./test/bench/manager
KUBEBUILDER_ASSETS=$programs/envtest "$dir/bench" -manager "$dir/manager" -kwok "$dir/kwok" -stages "$dir/stages.yaml" "$@"
