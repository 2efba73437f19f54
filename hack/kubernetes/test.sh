#!/usr/bin/env bash
# Run the tests that need Kubernetes, in a cluster of their own with the images and the chart of this work tree; it is taken down
# afterwards. Where no cluster can be brought up they are left out with the reason; with CI=true that is a failure.
#   RUN=REGEXP      which to run; all     VERBOSE=1      name each     LAB=DIR     in this cluster, which stays
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
if ! "$here/able.sh"; then
	echo "the tests that need Kubernetes are left out; with CI=true that is a failure" >&2
	[[ ${CI:-} != true ]]
	exit
fi
work=$(mktemp -d)
end() {
	if [[ ${TIGERFLOW_K8S_SLURM:-} ]]; then
		LAB=$TIGERFLOW_K8S_SLURM "$here/../slurm/down.sh"
		rm -rf "$TIGERFLOW_K8S_SLURM"
	fi
	if [[ ${mine:-} ]]; then
		"$here/down.sh"
		rm -rf "$LAB"
	fi
	rm -rf "$work"
}
trap end EXIT
if [[ ! ${LAB:-} ]]; then
	LAB=${TIGERFLOW_K8S:-/srv/tigerflow-k8s}/test-$$
	mine=1
fi
export LAB
"$here/up.sh"
version=test
images=(images/*/)
go run ./hack/images -o "$work/images" -version "$version" -platforms "linux/$(go env GOARCH)" "${images[@]%/}" test/kubernetes/images/*
for archive in "$work"/images/*.tar; do
	"$here/enter.sh" ctr -n k8s.io images import "$archive" >/dev/null
done
# One test has a Slurm cluster beside this one.
if "$here/../slurm/able.sh" "a Slurm cluster beside Kubernetes is left out of the tests (with CI=true that is a failure)"; then
	export TIGERFLOW_K8S_SLURM=$LAB/slurm
	LAB=$TIGERFLOW_K8S_SLURM "$here/../slurm/up.sh"
	cp "$work/images/python.tar" "$TIGERFLOW_K8S_SLURM/shared/"
	SLURM=$TIGERFLOW_K8S_SLURM "$here/join.sh"
elif [[ ${CI:-} == true ]]; then
	exit 1
fi
export TIGERFLOW_K8S_LAB=$LAB TIGERFLOW_VERSION=$version
export KUBEBUILDER_ASSETS=$LAB/bin/envtest
# Not all at once: the chart's tests take the CustomResourceDefinitions away.
for packages in ./test/kubernetes "./executor/pod ./cmd/manager"; do
	# shellcheck disable=SC2086
	go test -count=1 -timeout 60m -parallel 3 ${RUN:+-run "$RUN"} ${VERBOSE:+-v} $packages
done
echo "the tests that need Kubernetes took $SECONDS s"
