#!/usr/bin/env bash
# Builds Cilium from its Go module, and puts it into images under the names that
# its chart asks for: agent (with the CNI plugin, cilium-dbg, hubble and a compiler
# for its BPF programs), operator and Hubble's relay. There is no Envoy: its build
# is not a Go module's.
#
#   cilium.sh HELM FOLDER    HELM is netdojo-helm; the images are in FOLDER/archives
#
# Needs root, debootstrap, jq and Go. `make kind-cilium` calls it. Cilium is
# compiled with the versions that the project links, so most of it is in the build
# cache already; the first time it takes ten minutes of two cores all the same.
set -euo pipefail
helm=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
bin=$work/bin
suite=bookworm
clang=19

export CGO_ENABLED=0
cd "$repo"
src=$(go list -m -f '{{.Dir}}' github.com/cilium/cilium)
version=$(<"$src/VERSION")

stage() {
	local name=$1 start=$SECONDS
	shift
	"$@"
	echo "$name: $((SECONDS - start)) s"
}

# A root file system with what the agent calls, and the compiler without what it
# would need for other targets than BPF.
debian() {
	[ -e "$work/debian.done" ] && return
	if grep -q " $work/debian/" /proc/mounts; then
		echo "something is mounted below $work/debian" >&2
		return 1
	fi
	rm -rf "$work/debian"
	debootstrap --variant=minbase --include="bash,ca-certificates,iproute2,ipset,iptables,kmod,libatomic1,mount,clang-$clang" \
		"$suite" "$work/debian" >"$work/debootstrap.log" 2>&1 ||
		{ tail -n 20 "$work/debootstrap.log" >&2; return 1; }
	ln -s "../lib/llvm-$clang/bin/clang" "$work/debian/usr/bin/clang"
	rm -rf "$work/debian"/var/cache/apt/archives/*.deb "$work/debian"/var/lib/apt/lists/* \
		"$work/debian"/usr/share/{doc,man,locale,info,perl} "$work/debian"/usr/include \
		"$work/debian"/usr/lib/gcc/*/*/{cc1*,*.a,include} "$work/debian"/usr/lib/x86_64-linux-gnu/*.a \
		"$work/debian/usr/lib/llvm-$clang/lib/clang" "$work/debian/usr/lib/llvm-$clang"/lib/LLVMPolly.so \
		"$work/debian"/usr/lib/x86_64-linux-gnu/{libclang-19.so*,lib?san.so*,gconv,perl-base} \
		"$work/debian"/usr/bin/{perl*,x86_64-linux-gnu-*} "$work/debian"/usr/share/zoneinfo
	chroot "$work/debian" clang --version >/dev/null
	touch "$work/debian.done"
}

# go.mod with what Cilium's programs need beside its packages. Two modules cannot
# be had everywhere in the version that Cilium names: gobgp, whose next release
# does, and mcs-api's controllers, of which one name is used.
modules() {
	mkdir -p "$work/mcs-api-controllers"
	printf '%s\n' 'module sigs.k8s.io/mcs-api/controllers' 'go 1.26.0' >"$work/mcs-api-controllers/go.mod"
	printf '%s\n' 'package controllers' \
		'const DerivedServiceAnnotation = "multicluster.kubernetes.io/derived-service"' >"$work/mcs-api-controllers/controllers.go"
	cp go.mod go.sum "$work/"
	go mod edit \
		-require=github.com/osrg/gobgp/v4@v4.8.0 -replace=github.com/osrg/gobgp/v4=github.com/osrg/gobgp/v4@v4.8.0 \
		-require=sigs.k8s.io/mcs-api/controllers@v0.5.2 \
		-replace=sigs.k8s.io/mcs-api/controllers="$work/mcs-api-controllers" \
		"$work/go.mod"
}

programs() {
	local build=(go build -modfile "$work/go.mod" -mod=mod -o "$bin/" -ldflags
		"-s -w -X 'github.com/cilium/cilium/pkg/version.ciliumVersion=$version module 1970-01-01T00:00:00Z'")
	mkdir -p "$bin"
	"${build[@]}" -tags osusergo github.com/cilium/cilium/{daemon,plugins/cilium-cni,cilium-dbg,cilium-health,cilium-health/responder,hubble,tools/mount,tools/sysctlfix}
	"${build[@]}" -tags osusergo,ipam_provider_operator github.com/cilium/cilium/{operator,hubble-relay}
	go build -ldflags "-s -w" -o "$bin/" github.com/containernetworking/plugins/plugins/main/loopback ./cluster/kind/nodeimage/archive
}

# The image that a workload of the chart's runs.
asked() { jq -er --arg of "$1" '.images[$of][0]' "$work/chart.json"; }

archives() {
	echo '{"release": "cilium", "namespace": "kube-system", "values": {"hubble": {"relay": {"enabled": true}}}}' |
		"$helm" render >"$work/chart.json"
	rm -rf "$work/archives"
	mkdir "$work/archives"
	# The files that the agent's image has beside programs.
	rm -rf "$work/agent"
	mkdir -p "$work/agent/var/lib/cilium"
	cp -r --no-preserve=mode,ownership "$src/bpf" "$work/agent/var/lib/cilium/bpf"
	rm -rf "$work/agent/var/lib/cilium/bpf/tests"
	install -m 755 "$src"/images/cilium/init-container.sh "$src"/plugins/cilium-cni/{install-plugin,cni-uninstall}.sh "$work/agent/"
	tar -C "$work/agent" --numeric-owner --owner=0 --group=0 -cf "$work/agent.tar" .
	tar -C "$work/debian" --numeric-owner -cf "$work/debian.tar" .
	"$bin/archive" -tag "$(asked DaemonSet/cilium)" -env HUBBLE_SERVER=unix:///var/run/cilium/hubble.sock \
		-layer "$work/debian.tar" -layer "$work/agent.tar" \
		"$bin/daemon=/usr/bin/cilium-agent" "$bin"/{cilium-dbg=/usr/bin/cilium-dbg,cilium-health=/usr/bin/cilium-health,hubble=/usr/bin/hubble} \
		"$bin/responder=/usr/bin/cilium-health-responder" \
		"$bin"/{mount=/usr/bin/cilium-mount,sysctlfix=/usr/bin/cilium-sysctlfix} \
		"$bin"/{cilium-cni=/opt/cni/bin/cilium-cni,loopback=/cni/loopback} >"$work/archives/cilium.tar"
	"$bin/archive" -tag "$(asked Deployment/cilium-operator)" "$bin/operator=/usr/bin/cilium-operator-generic" >"$work/archives/operator.tar"
	"$bin/archive" -tag "$(asked Deployment/hubble-relay)" -user 65532:65532 -env GOPS_CONFIG_DIR=/tmp "$bin/hubble-relay=/usr/bin/hubble-relay" >"$work/archives/relay.tar"
	rm -rf "$work/debian.tar" "$work/agent.tar" "$work/agent"
}

# What the images are made of.
recipe() {
	{ cat "$here/cilium.sh"; find "$bin" "$helm" -type f -print0 | sort -z | xargs -0 sha256sum; } | sha256sum
}

debian >"$work/debian.log" 2>&1 &
fetch=$!
modules
stage "Cilium $version" programs
wait "$fetch" || { cat "$work/debian.log" >&2; exit 1; }
if [ "$(recipe)" != "$(cat "$work/recipe" 2>/dev/null)" ]; then
	stage "Cilium's images" archives
	recipe >"$work/recipe"
fi
