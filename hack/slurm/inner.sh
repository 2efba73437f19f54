#!/usr/bin/env bash
# The first process of the cluster, in new namespaces but still in the host's file system: makes the cluster's root from
# ROOTFS, which stays as it is, and goes there. By pivot_root: in a chroot the kernel refuses the user namespaces that
# Apptainer needs.
set -euo pipefail
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$LAB/root"
mkdir "$LAB/root/upper" "$LAB/root/work" "$LAB/root/merged"
R=$LAB/root/merged
mount -t overlay -o "lowerdir=$ROOTFS,upperdir=$LAB/root/upper,workdir=$LAB/root/work" overlay "$R"

hostname slurmhost
ip link set lo up
# Slurm wants an address besides lo's, and a link that is up.
ip link add br0 type bridge
ip addr add 10.77.0.1/24 dev br0
ip link add v0 type veth peer name v1
ip link set v0 master br0
for link in br0 v0 v1; do ip link set "$link" up; done

mount -t proc proc "$R/proc"
mount -t sysfs sysfs "$R/sys"
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mount -t tmpfs -o mode=1777 tmpfs "$R/tmp"
mount -t tmpfs -o mode=755 tmpfs "$R/dev"
node() { mknod "$R/dev/$1" "${@:2}" && chmod 666 "$R/dev/$1"; }
node null c 1 3
node zero c 1 5
node full c 1 7
node random c 1 8
node urandom c 1 9
node tty c 5 0
node fuse c 10 229
# For gres.conf: Slurm ignores GPUs without a device.
node fakegpu0 c 1 3
node fakegpu1 c 1 3
mkdir "$R/dev/pts" "$R/dev/shm" "$R/dev/mqueue"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$R/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$R/dev/shm"
ln -s pts/ptmx "$R/dev/ptmx"
ln -s /proc/self/fd "$R/dev/fd"
ln -s /proc/self/fd/0 "$R/dev/stdin"
ln -s /proc/self/fd/1 "$R/dev/stdout"
ln -s /proc/self/fd/2 "$R/dev/stderr"

mkdir -p "$R$LAB/shared" "$R/var/log/slurm"
mount --bind "$LAB/shared" "$R$LAB/shared"
mount --bind "$LAB/log" "$R/var/log/slurm"
cp "$HERE"/conf/* "$R/etc/slurm/"
chmod 755 "$R/etc/slurm/lab"
mv "$R/etc/slurm/lab" "$R/usr/sbin/lab"
mkdir "$R/old"
cd "$R"
pivot_root . old
umount -l /old
cd /
exec env PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin bash /etc/slurm/init.sh
