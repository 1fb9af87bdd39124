#!/usr/bin/env bash
# Builds the node image of kind clusters without a container registry: Debian
# packages, the project's own Kubernetes, containerd, and the control plane's
# images, unpacked already. Plain kind runs from it too, with plain-cni.yaml where
# its own image has kindnetd.
#
#   build.sh TAG FOLDER [ARCHIVE]…    intermediate results stay in FOLDER and are
#                                     used again; images of archives go into the node
#
# Needs root, debootstrap, a running Docker, and Go. `make kind-image` calls it.
set -euo pipefail
tag=$1
mkdir -p "$2"
work=$(realpath "$2")
shift 2
more=("$@")
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
bin=$work/bin

kubernetes=v${KUBERNETES_VERSION:?}
containerd=v2.3.7
crictl=v1.36.0
suite=bookworm
registry=registry.k8s.io

export CGO_ENABLED=0
cd "$repo"

helper= # a process that must not outlive this script
trap '[ -z "$helper" ] || kill "$helper" 2>/dev/null || true' EXIT

stage() {
	local name=$1 start=$SECONDS
	shift
	"$@"
	echo "$name: $((SECONDS - start)) s"
}

# The file that a module of go.mod's is in.
module() { go list -m -f '{{.Dir}}' "$1"; }

debian() {
	[ -e "$work/debian.done" ] && return
	if grep -q " $work/debian/" /proc/mounts; then
		echo "something is mounted below $work/debian" >&2
		return 1
	fi
	rm -rf "$work/debian"
	# What kind's own image has of Debian, and what netdojo's stand-in images take
	# from the node: shells and network tools.
	local packages=systemd,systemd-sysv,conntrack,iptables,nftables,iproute2,ethtool,util-linux,mount,kmod
	packages+=,libseccomp2,runc,e2fsprogs,bash,ca-certificates,curl,jq,procps
	packages+=,iputils-ping,netcat-openbsd,wget,bind9-host
	debootstrap --variant=minbase --include="$packages" "$suite" "$work/debian" >"$work/debootstrap.log" 2>&1 ||
		{ tail -n 20 "$work/debootstrap.log" >&2; return 1; }
	rm -rf "$work/debian"/var/cache/apt/archives/*.deb "$work/debian"/var/lib/apt/lists/* \
		"$work/debian"/usr/share/{doc,man,locale,info}/*
	touch "$work/debian.done"
}

programs() {
	mkdir -p "$bin/containerd"
	local pkg flags="-s -w"
	for pkg in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags+=" -X $pkg.gitVersion=$kubernetes -X $pkg.gitMajor=1 -X $pkg.gitMinor=$(cut -d. -f2 <<<"$kubernetes")"
		flags+=" -X $pkg.gitTreeState=clean"
	done
	stage "  kubernetes" go build -ldflags "$flags" -o "$bin/kubernetes" ./cluster/kind/nodeimage/kubernetes
	stage "  netdojo's" go build -ldflags "-s -w" -o "$bin/" ./cmd/netdojo-coredns ./cmd/netdojo-helper \
		./cluster/kind/nodeimage/runcfit ./cluster/kind/nodeimage/archive
	mkdir -p "$bin/cni"
	stage "  CNI plugins" go build -ldflags "-s -w" -o "$bin/cni/" \
		github.com/containernetworking/plugins/plugins/{main/loopback,main/ptp,ipam/host-local}
	stage "  kind" go build -ldflags "-s -w" -o "$bin/" sigs.k8s.io/kind
	# These two want other versions of what the project links.
	stage "  containerd" env GOFLAGS= GOBIN="$bin/containerd" go install -tags "no_aufs no_zfs no_btrfs no_devmapper" \
		-ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$containerd" \
		"github.com/containerd/containerd/v2/cmd/"{containerd,ctr,containerd-shim-runc-v2}"@$containerd"
	stage "  crictl" env GOFLAGS= GOBIN="$bin" go install -ldflags "-s -w" "sigs.k8s.io/cri-tools/cmd/crictl@$crictl"
}

# The version that kubeadm asks for of an image.
asked() { "$work/names/kubeadm" config images list --kubernetes-version "$kubernetes" 2>/dev/null | grep "/$1:"; }

# A layer of Debian's iptables and shell with their libraries, for kube-proxy and
# for what stands in for kindnetd.
tools() {
	chroot "$work/debian" bash -ec '
		wanted=(/usr/bin/{bash,cat,ip,mv,sleep} /usr/sbin/ip{,6}tables{,-save,-restore} /usr/lib/*/xtables/*.so)
		{ printf "%s\n" "${wanted[@]}"; ldd "${wanted[@]}" | grep -o "/[^ :]*\.so[^ :]*"; } | while read -r path; do
			echo "$(readlink -f "${path%/*}")/${path##*/}" # through links of folders
		done | sort -u | sed "s|^/||" | tar -C / -chf - --files-from=- --owner=0 --group=0 --numeric-owner' >"$work/tools.tar"
}

# What kubeadm and containerd ask for by name, from one tar of programs each.
archives() {
	mkdir -p "$work/names"
	ln -sf "$bin/kubernetes" "$work/names/kubeadm"
	rm -rf "$work/archives"
	mkdir "$work/archives"
	local name names=""
	for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
		names+=$registry/$name:$kubernetes,
	done
	tools
	"$bin/archive" -tag "$names$(asked etcd)" -layer "$work/tools.tar" "$bin/kubernetes=/usr/local/bin/kubernetes" \
		"/usr/local/bin/"{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,etcd,kubectl}"->kubernetes" \
		/{bin,sbin,lib,lib64}"->usr/"{bin,sbin,lib,lib64} >"$work/archives/kubernetes.tar"
	rm "$work/tools.tar"
	"$bin/archive" -tag "$(asked coredns)" -entrypoint /coredns "$bin/netdojo-coredns=/coredns" >"$work/archives/coredns.tar"
	"$bin/archive" -tag "$(asked pause)" -entrypoint /netdojo-helper,pause -user 65535:65535 \
		"$bin/netdojo-helper=/netdojo-helper" >"$work/archives/pause.tar"
}

# Has a containerd of its own unpack the archives into what becomes the node's
# /var/lib/containerd, so that nothing is unpacked when a node boots.
unpack() {
	rm -rf "$work/images" "$work/containerd.run"
	mkdir "$work/images" "$work/containerd.run"
	cat >"$work/containerd.run/config.toml" <<-END
		version = 2
		root = "$work/images"
		state = "$work/containerd.run"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri"]
		[grpc]
		  address = "$work/containerd.run/sock"
	END
	"$bin/containerd/containerd" -c "$work/containerd.run/config.toml" >"$work/containerd.log" 2>&1 &
	helper=$!
	local deadline=$((SECONDS + 30))
	local ctr=("$bin/containerd/ctr" -a "$work/containerd.run/sock" -n k8s.io)
	until "${ctr[@]}" version >/dev/null 2>&1; do
		((SECONDS < deadline)) || { tail -n 20 "$work/containerd.log" >&2; return 1; }
		sleep 0.1
	done
	local archive
	for archive in "$work"/archives/*.tar "${more[@]}"; do
		"${ctr[@]}" images import --local --discard-unpacked-layers --label=io.cri-containerd.pinned=pinned "$archive" \
			>/dev/null 2>>"$work/containerd.log"
	done
	# The packed layers are not needed any more: ending a lease collects them.
	"${ctr[@]}" leases create --id unpacked >/dev/null 2>>"$work/containerd.log"
	"${ctr[@]}" leases rm --sync unpacked >/dev/null 2>>"$work/containerd.log"
	kill "$helper"
	wait "$helper" || true
	helper=
}

# Lays the node's files over Debian's.
assemble() {
	local node=$work/node files
	files=$(module sigs.k8s.io/kind)/images/base/files
	rm -rf "$node"
	cp -a "$work/debian" "$node"
	cp -r --no-preserve=mode,ownership "$files/." "$node/"
	chmod 755 "$node"/usr/local/bin/* "$node/kind" "$node/kind/bin" "$node"/kind/bin/*
	ln -sf /usr/lib/systemd/systemd "$node/sbin/init"

	install -m 755 "$bin"/containerd/* "$bin/crictl" "$node/usr/local/bin/"
	install -m 755 "$bin/runcfit" "$node/usr/local/sbin/runc" # before Debian's in the path
	install -D -m 755 -t "$node/opt/cni/bin" "$bin"/cni/*
	install -m 755 "$bin/kubernetes" "$node/usr/bin/kubernetes"
	local name
	for name in kubeadm kubelet kubectl; do
		ln -s kubernetes "$node/usr/bin/$name"
	done
	mkdir -p "$node"/etc/cni/net.d "$node"/etc/kubernetes/manifests "$node"/kind/manifests "$node"/var/lib/containerd
	cp -a "$work/images/." "$node/var/lib/containerd/"
	# kind has the engine make a volume of /var, and the engine then copies what the
	# image has there: with all of Cilium's that took 40 s. So layers lie elsewhere, and
	# links lead to them: below pods they are only read.
	local layer layers=$node/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots
	mkdir "$node/kind/layers"
	for layer in "$layers"/*; do
		mv "$layer" "$node/kind/layers/"
		ln -s "/kind/layers/${layer##*/}" "$layer"
	done
	sed -e "s#IMAGE#$registry/kube-proxy:$kubernetes#" "$here/plain-cni.yaml" >"$node/kind/manifests/default-cni.yaml"
	printf %s "$kubernetes" >"$node/kind/version"
	printf '%s\n' 'apiVersion: storage.k8s.io/v1' 'kind: StorageClass' 'metadata:' '  name: standard' \
		'  annotations: {storageclass.kubernetes.io/is-default-class: "true"}' \
		'provisioner: kubernetes.io/host-path' >"$node/kind/manifests/default-storage.yaml"

	"$bin/containerd/ctr" oci spec 2>>"$work/containerd.log" |
		jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
			>"$node/etc/containerd/cri-base.json"
	sed -i -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' \
		-e "s#sandbox_image = .*#sandbox_image = \"$(asked pause)\"#" "$node/etc/containerd/config.toml"
	# Kubernetes refuses version 1 of cgroups by default; some hosts have no other.
	sed -i 's/$/ --fail-cgroupv1=false/' "$node/etc/default/kubelet"

	# The node starts what a container can have, and nothing else of Debian's.
	local units=$node/lib/systemd/system wants=$node/etc/systemd/system/multi-user.target.wants
	rm -f "$units"/sysinit.target.wants/systemd-tmpfiles-setup.service "$units"/{multi-user,local-fs,basic}.target.wants/* \
		"$units"/sockets.target.wants/*{udev,initctl}* "$node"/etc/systemd/system/*.wants/*
	mkdir -p "$wants"
	for name in kubelet containerd undo-mount-hacks; do
		ln -s "/etc/systemd/system/$name.service" "$wants/"
	done
	ln -sf /dev/null "$node/etc/systemd/system/systemd-binfmt.service" # it would change the host's kernel
	echo ReadKMsg=no >>"$node/etc/systemd/journald.conf"
	rm -rf "$node"/run/* "$node"/tmp/*
	tar -C "$node" --numeric-owner -cf "$work/node.tar" .
	rm -rf "$node"
}

load() {
	local old
	old=$(docker image inspect --format '{{.Id}}' "$tag" 2>/dev/null || true)
	"$bin/archive" -tag "$tag" -env container=docker -stop-signal SIGRTMIN+3 \
		-entrypoint /usr/local/bin/entrypoint,/sbin/init -layer "$work/node.tar" | docker load -q
	rm "$work/node.tar"
	# The one before has no name any more; a cluster that runs from it keeps it.
	[ -z "$old" ] || docker image rm "$old" >/dev/null 2>&1 || true
}

# What the image is made of, and where that is noted.
note=$work/recipe.${tag//[\/:]/-}
recipe() {
	{ echo "$tag"; cat "$here/build.sh" "$here/plain-cni.yaml"; find "$bin" "${more[@]}" -type f -print0 | sort -z | xargs -0 sha256sum; } | sha256sum
}

# Debian comes over the network while the compiler works.
debian >"$work/debian.log" 2>&1 &
fetch=$!
stage programs programs
wait "$fetch" || { cat "$work/debian.log" >&2; exit 1; }
if [ "$(recipe)" = "$(cat "$note" 2>/dev/null)" ] && docker image inspect "$tag" >/dev/null 2>&1; then
	echo "$tag is up to date"
	exit 0
fi
stage archives archives
stage unpack unpack
stage assemble assemble
stage load load
recipe >"$note"
docker image ls "$tag"
echo "all: $SECONDS s"
