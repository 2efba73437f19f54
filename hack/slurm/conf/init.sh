#!/usr/bin/env bash
# The first process of the cluster, in its root: starts what a cluster has and then only reaps. Writes /run/slurm/ready.
set -euo pipefail
say() { printf '[%4d ms] %s\n' "$((($(date +%s%N) - begin) / 1000000))" "$*"; }
begin=$(date +%s%N)
# What must come true soon, or else this is no cluster.
await() {
	for _ in $(seq 300); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	echo "gave up waiting: $*" >&2
	exit 1
}

useradd --uid 2001 --create-home --shell /bin/bash hpc
for command in /usr/sbin/lab /usr/bin/scontrol /usr/bin/scancel /usr/bin/sacctmgr; do
	echo "hpc ALL=(root) NOPASSWD: $command"
done >/etc/sudoers.d/hpc

echo slurmhost >/etc/hostname
{
	echo "127.0.0.1 localhost"
	echo "10.77.0.1 slurmhost"
	for n in 1 2 3 4; do
		if [[ $NODENET == 1 ]]; then echo "10.77.0.1$n node$n"; else echo "10.77.0.1 node$n"; fi
	done
} >/etc/hosts
address='NodeHostname=slurmhost NodeAddr=10.77.0.1 Port=[17001-17004]'
if [[ $NODENET == 1 ]]; then
	address='NodeAddr=10.77.0.1[1-4]'
fi
# Slurm 22.05 knows no way without cgroups yet, but does not use them either.
if [[ $(slurmctld -V) == "slurm-wlm 22."* ]]; then
	echo CgroupPlugin=cgroup/v1
else
	echo CgroupPlugin=disabled
fi >/etc/slurm/cgroup.conf
cat >>/etc/slurm/slurm.conf <<END
NodeName=node[1-4] $address CPUs=$CPUS CoresPerSocket=$CPUS RealMemory=$((CPUS * 500)) Gres=gpu:fake:2
PartitionName=batch Nodes=node[1-4] Default=YES PriorityTier=2
PartitionName=gpu Nodes=node[3-4] PriorityTier=2
PartitionName=spare Nodes=node[1-4] PriorityTier=1 PreemptMode=CANCEL
END
if [[ $DBD == 1 ]]; then
	cat >>/etc/slurm/slurm.conf <<-'END'
		AccountingStorageType=accounting_storage/slurmdbd
		AccountingStorageHost=10.77.0.1
		AccountingStorageTRES=gres/gpu
		AccountingStorageEnforce=associations,limits,qos
		AccountingStoreFlags=job_script,job_comment
	END
fi

install -d -o slurm -g slurm /run/slurm /var/spool/slurmctld
chown slurm:slurm /var/log/slurm
install -d -o munge -g munge /run/munge /var/log/munge /var/lib/munge
chown slurm:slurm /etc/slurm/slurmdbd.conf
chmod 600 /etc/slurm/slurmdbd.conf
echo "NODENET=$NODENET" >/run/slurm/env
runuser -u munge -- munged
say munged
if [[ $DBD == 1 ]]; then
	install -d -o mysql -g mysql /run/mysql /run/mysql/data
	database=(--user=mysql --datadir=/run/mysql/data)
	mariadb-install-db "${database[@]}" --skip-test-db >/var/log/slurm/mariadb.log 2>&1
	mariadbd "${database[@]}" --socket=/run/mysql/socket --pid-file=/run/mysql/pid --bind-address=127.0.0.1 --skip-name-resolve \
		--skip-log-bin --innodb-buffer-pool-size=64M --innodb-log-file-size=16M --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 \
		>>/var/log/slurm/mariadb.log 2>&1 &
	mysql() { mariadb --socket=/run/mysql/socket "$@"; }
	await mysql -e 'select 1'
	mysql -e "create database slurm_acct_db; create user slurm@127.0.0.1 identified by 'slurm'; grant all on slurm_acct_db.* to slurm@127.0.0.1"
	say mariadb
	lab dbd-on
	say slurmdbd
	sacctmgr -iQ add cluster lab >/dev/null
	sacctmgr -iQ add account lab >/dev/null
	sacctmgr -iQ add user hpc account=lab >/dev/null
fi
lab ctld-on
say slurmctld
starting=()
for n in 1 2 3 4; do
	lab node-on "$n" &
	starting+=($!)
done
for pid in "${starting[@]}"; do wait "$pid"; done
say "four nodes"
touch /run/slurm/ready
while :; do
	wait
	sleep 3600 &
	wait $!
done
