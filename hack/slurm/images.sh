#!/usr/bin/env bash
# Make Apptainer images for tests in LAB/shared/images, without any registry, from what the cluster of LAB has:
# busybox and python, each as a folder (NAME) and as a file (NAME.sif). They are kept next to the root file system.
set -euo pipefail
lab=${LAB:-${TIGERFLOW_LAB:-/srv/tigerflow-slurm}}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ -d $lab/shared/images ]]; then exit; fi
if ! "$here/enter.sh" sh -c 'command -v apptainer' >/dev/null; then
	echo "no images: the cluster has no Apptainer" >&2
	exit
fi
cache=$("$here/rootfs.sh")-images-$(sha256sum <"${BASH_SOURCE[0]}" | cut -c1-16)
exec 9>"$cache.lock"
flock 9
if [[ -d $cache ]]; then
	cp -a "$cache" "$lab/shared/images.$$"
	mv -T "$lab/shared/images.$$" "$lab/shared/images"
	exit
fi
"$here/enter.sh" -u hpc bash -euo pipefail -c '
	new=$(mktemp -d "$1/shared/images.new.XXXXXX")
	cd "$new"
	mkdir -p {busybox,python}/{bin,etc,proc,sys,dev,tmp,var/tmp}
	cp /bin/busybox busybox/bin/
	for name in sh cat ls env sleep id cp mkdir; do ln -s busybox "busybox/bin/$name"; done
	# Python with its standard library and the shared libraries that both need.
	python=$(readlink -f /usr/bin/python3)
	mkdir -p python/usr/{bin,lib}
	cp "$python" python/usr/bin/python3
	ln -s python3 "python/usr/bin/${python##*/}"
	cp -r "/usr/lib/${python##*/}" python/usr/lib/
	find python -name __pycache__ -prune -exec rm -rf {} +
	cp busybox/bin/busybox python/bin/
	ln -s busybox python/bin/sh
	{
		ldd "$python"
		find python -name "*.so" -exec ldd {} +
	} | grep -o "/[^ ]*\.so[^ ]*" | grep -v "^$new" | sort -u | while read -r library; do
		[[ $library != *: ]] || continue
		mkdir -p "python${library%/*}"
		cp -L "$library" "python${library%/*}/"
	done
	for image in busybox python; do
		touch $image/etc/passwd $image/etc/group
		apptainer --quiet build $image.sif $image 2>/dev/null
	done
	apptainer --quiet exec --containall --cleanenv python.sif python3 -c "import json, threading, socket, argparse"
	chmod 755 "$new"
	mv "$new" "$1/shared/images"' bash "$lab"
cp -a "$lab/shared/images" "$cache.$$"
mv -T "$cache.$$" "$cache"
