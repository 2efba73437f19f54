#!/usr/bin/env bash
# Start or kill a component of the node, from within: component.sh start|kill NAME, see the table below. kill is kill -9.
set -euo pipefail
action=$1 name=$2
state=/run/node
pki=$LAB/pki
bin=$(readlink -f "$LAB/bin")
ip=$(tail -n 1 /etc/hosts | cut -d' ' -f1)
case $name in
etcd)
	command=(--data-dir "$state/etcd" --unsafe-no-fsync --log-level warn
		--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
		--listen-peer-urls http://127.0.0.1:2380) ;;
containerd)
	command=(--config "$state/conf/containerd.toml") ;;
kube-apiserver)
	command=(--etcd-servers http://127.0.0.1:2379 --advertise-address "$ip" --secure-port 6443
		--service-cluster-ip-range 10.96.0.0/16
		--authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction,OwnerReferencesPermissionEnforcement
		--allow-privileged=true --audit-policy-file "$state/conf/audit.yaml" --audit-log-path "$LAB/log/audit.log"
		--client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key"
		--kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP
		--kubelet-client-certificate "$pki/apiserver-kubelet-client.crt" --kubelet-client-key "$pki/apiserver-kubelet-client.key"
		--service-account-issuer https://kubernetes.default.svc.cluster.local
		--service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key") ;;
kube-controller-manager)
	command=(--kubeconfig "$pki/$name.kubeconfig" --authentication-kubeconfig "$pki/$name.kubeconfig"
		--authorization-kubeconfig "$pki/$name.kubeconfig" --bind-address 127.0.0.1 --leader-elect=false
		--node-monitor-grace-period 20s --service-account-private-key-file "$pki/sa.key" --root-ca-file "$pki/ca.crt" --use-service-account-credentials=true
		--cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key") ;;
kube-scheduler)
	command=(--kubeconfig "$pki/$name.kubeconfig" --authentication-kubeconfig "$pki/$name.kubeconfig"
		--authorization-kubeconfig "$pki/$name.kubeconfig" --bind-address 127.0.0.1 --leader-elect=false) ;;
kubelet)
	command=(--config "$state/conf/kubelet.yaml" --kubeconfig "$pki/kubelet.kubeconfig" --root-dir "$state/kubelet"
		--hostname-override "$(hostname)" --node-ip "$ip") ;;
kube-proxy) # what it would set for conntrack is the whole machine's
	command=(--kubeconfig "$pki/kube-proxy.kubeconfig" --hostname-override "$(hostname)" --cluster-cidr 10.244.0.0/16
		--proxy-mode iptables --conntrack-max-per-core 0
		--conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0) ;;
*)
	echo "no component $name" >&2
	exit 2 ;;
esac
case $action in
start)
	setsid "$bin/$name" "${command[@]}" >>"$LAB/log/$name.log" 2>&1 </dev/null &
	echo $! >"$state/$name.pid" ;;
kill)
	pid=$(cat "$state/$name.pid")
	kill -9 "$pid"
	while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done ;;
*)
	echo "start or kill, not $action" >&2
	exit 2 ;;
esac
