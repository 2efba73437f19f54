#!/usr/bin/env bash
# Print the path of a folder with all programs of a Kubernetes cluster of one node; build them if there is none yet. They come from
# the Go modules pinned in components and runtime, and take 20 minutes of CPU time the first time. The folder lies in the
# user's cache, is never changed afterwards, and is made anew when its sources change. "envtest" in it serves as KUBEBUILDER_ASSETS.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tigerflow
cd "$here"
dir=$cache/kubernetes-$(cat build.sh {components,runtime}/go.sum components/kube/*.go pki/*.go pause/* ../images/*.go <(go version) | sha256sum | cut -c1-16)

mkdir -p "$cache"
exec 9>"$cache/kubernetes.lock"
flock 9
if [[ -d $dir ]]; then
	echo "$dir"
	exit
fi
echo "building Kubernetes for tests; the first time takes some minutes" >&2
rm -rf "$cache"/kubernetes.new.*
new=$(mktemp -d "$cache/kubernetes.new.XXXXXX")
export GOFLAGS="-buildvcs=false -trimpath" CGO_ENABLED=0

version=$(go -C components list -m -f '{{.Version}}' k8s.io/kubernetes)
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$version")"
done
go -C components build -ldflags "$flags" -o "$new/kube" ./kube
# What charts without a cluster are rendered for.
flags="-s -w"
for package in helm.sh/helm/v3/pkg/chartutil helm.sh/helm/v3/pkg/lint/rules; do
	flags+=" -X $package.k8sVersionMajor=1 -X $package.k8sVersionMinor=$(cut -d. -f2 <<<"$version")"
done
go -C components build -ldflags "$flags" -o "$new/" helm.sh/helm/v3/cmd/helm
for name in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do ln -s kube "$new/$name"; done
mkdir "$new/envtest"
for name in etcd kube-apiserver kubectl; do ln -s ../kube "$new/envtest/$name"; done

go -C runtime build -tags "no_btrfs no_devmapper no_zfs no_tracing" -ldflags "-s -w" -o "$new/" \
	github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr}
CGO_ENABLED=1 go -C runtime build -tags "netgo osusergo seccomp" -ldflags "-s -w" -o "$new/" github.com/opencontainers/runc
mkdir "$new/cni"
go -C runtime build -ldflags "-s -w" -o "$new/cni/" \
	github.com/containernetworking/plugins/plugins/{ipam/host-local,main/bridge,main/loopback,meta/portmap}
go build -ldflags "-s -w" -o "$new/" ./pki
cd ../..
go run ./hack/images -o "$new" -version test -platforms "linux/$(go env GOARCH)" hack/kubernetes/pause >&2
chmod 755 "$new"
mv "$new" "$dir"
echo "$dir"
