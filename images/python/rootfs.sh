#!/usr/bin/env bash
# Write the tar of a small Debian with Python, a shell, the core utilities and TLS certificates, for an architecture: rootfs.sh
# amd64|arm64. Only programs of this machine's own are run. Packages come from its Debian mirror, of the SUITE (trixie).
# Exit code 75: it cannot be made here.
set -euo pipefail
arch=$1 suite=${SUITE:-trixie}
no() {
	echo "$*" >&2
	exit 75
}
((EUID == 0)) || no "Debian packages are unpacked as root"
command -v mmdebstrap >/dev/null || no "install mmdebstrap"
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/\?$' || true)
[[ $mirror ]] || no "no Debian mirror is known: name one in /etc/apt/sources.list, and run apt-get update"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/describe" <<'HOOK'
#!/bin/sh -eu
# What is installed, in the place where scanners of images without dpkg look.
mkdir -p "$1/var/lib/dpkg/status.d"
for deb in "$1"/var/cache/apt/archives/*.deb; do
	dpkg-deb --field "$deb" Package Source Version Architecture Maintainer >"$1/var/lib/dpkg/status.d/$(dpkg-deb --field "$deb" Package)"
done
HOOK
chmod +x "$work/describe"
# Packages are unpacked and not configured: their scripts would need a machine of that architecture.
unpack() { # DIR ARCHITECTURE PACKAGES OPTION...
	mmdebstrap --quiet --variant=extract --mode=root --format=directory --architectures="$2" --include="$3" "${@:4}" \
		--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' "$suite" "$1" "deb $mirror $suite main" >&2
}
unpack "$work/root" "$arch" base-files,python3,dash,coreutils,ca-certificates,tzdata --extract-hook="$work/describe"
native=$work/root
if [[ $arch != "$(dpkg --print-architecture)" ]]; then
	native=$work/native
	unpack "$native" "$(dpkg --print-architecture)" base-files,python3
fi
cd "$work/root"
# Nobody can write into the image to keep what Python has compiled: without this each start would do it anew. The result is the
# same for all architectures.
standard=(usr/lib/python3.*/)
standard=${standard[0]%/}
rm -rf "$standard"/{test,pydoc_data} "$native/$standard"/{test,pydoc_data}
PYTHONHASHSEED=0 chroot "$native" /usr/bin/python3 -I -m compileall -q --invalidation-mode unchecked-hash "/$standard"
if [[ $native != "$work/root" ]]; then
	(cd "$native" && find "$standard" -name __pycache__ -print0 | tar -c --null -T -) | tar -x
fi

# What the scripts would have done.
find usr/share/ca-certificates -name '*.crt' | LC_ALL=C sort | xargs cat >etc/ssl/certs/ca-certificates.crt
# What no Task needs; copyright files stay.
rm -rf boot dev media mnt opt srv run/* proc/* var/cache/* var/lib/{apt,systemd,pam} var/log/* etc/{apt,systemd,cron*,init.d,debconf.conf} \
	usr/share/{man,info,locale,lintian,pixmaps,perl5,debconf,polkit-1,bug,doc-base,applications,bash-completion} \
	usr/lib/*/gconv usr/lib/{apt,dpkg,systemd,valgrind,*/perl*} usr/share/dpkg usr/sbin/dpkg* usr/bin/{dpkg*,debconf*,openssl,tar}
find usr/share/doc -type f ! -name copyright -delete
find usr/share/doc -type l -delete
find usr/share/doc -type d -empty -delete
mkdir -p dev proc sys run
tar -c --sort=name --numeric-owner .
