#!/usr/bin/env bash
# Print the path of a root file system with Slurm, Apptainer and Python of a Debian suite; make it if there is none yet.
#   SUITE=sid (Slurm 26.05) | trixie (24.11) | bookworm (22.05, without Apptainer)
# It lies below TIGERFLOW_LAB, is never changed afterwards, and is made anew when this script changes.
set -euo pipefail
suite=${SUITE:-sid}
cache=${TIGERFLOW_LAB:-/srv/tigerflow-slurm}/cache
dir=$cache/$suite-$({ echo "$suite"; cat "${BASH_SOURCE[0]}"; } | sha256sum | cut -c1-16)

mkdir -p "$cache"
exec 9>"$cache/$suite.lock"
flock 9
if [[ -d $dir ]]; then
	echo "$dir"
	exit
fi

if ! command -v mmdebstrap >/dev/null; then
	# The lists may be as old as the machine's image.
	apt-get install -qq -y --no-install-recommends mmdebstrap >&2 ||
		{ apt-get update -qq >&2 && apt-get install -qq -y --no-install-recommends mmdebstrap >&2; }
fi
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/\?$' || true)
[[ $mirror ]] || { echo "no Debian mirror is known: name one in /etc/apt/sources.list, and run apt-get update" >&2 && exit 1; }

packages=munge,slurmctld,slurmd,slurm-client,slurm-wlm-basic-plugins,slurmdbd,slurm-wlm-mysql-plugin,mariadb-server
packages+=,python3,iproute2,procps,busybox-static,sudo
sources=("deb $mirror $suite main")
if [[ $suite != bookworm ]]; then
	packages+=,apptainer,uidmap,squashfs-tools,squashfuse,fuse3,fuse-overlayfs,ca-certificates
fi
# Of the suites only sid has Apptainer; its dependencies are met by trixie, which stays the source of all else.
if [[ $suite == trixie ]]; then
	sources+=("deb $mirror sid main")
fi

rm -rf "$cache/$suite".new.*
new=$(mktemp -d "$cache/$suite.new.XXXXXX")
mmdebstrap --quiet --variant=minbase --include="$packages" \
	--aptopt='APT::Install-Recommends "false"' --aptopt="APT::Default-Release \"$suite\"" \
	--aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt=force-unsafe-io \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--customize-hook='rm -rf "$1"/var/lib/mysql "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*' \
	"$suite" "$new" "${sources[@]}" >&2
chmod 755 "$new"
mv "$new" "$dir"
echo "$dir"
