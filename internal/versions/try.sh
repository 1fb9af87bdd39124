#!/usr/bin/env bash
# Tries a newer set of Kubernetes, Cilium, etcd and CoreDNS in a temporary copy of the last
# commit, and says what does not fit: modules that cannot be had together, packages that
# are gone, and what does not compile, tests included. The project's folder stays as it is.
#
#   KUBERNETES=v1.37.0 CILIUM=v1.20.3 ETCD=v3.6.13 COREDNS=v1.14.4 try.sh
#
# What is not given stays as it is in go.mod. PACKAGES are compiled (default: all). `make
# try-versions` calls it. Exit code 1 where something does not fit. It takes as long as a
# first build; KEEP=FOLDER keeps the changed go.mod and go.sum, and the whole report.
set -euo pipefail
repo=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git -C "$repo" archive HEAD | tar -x -C "$work"
cd "$work"
export CGO_ENABLED=0 GOFLAGS=-mod=mod\ -buildvcs=false

edits=()
if [ -n "${KUBERNETES:-}" ]; then
	staging=v0.${KUBERNETES#v1.}
	edits+=(-require "k8s.io/kubernetes@$KUBERNETES")
	# Every staging module is replaced, and required by those that want a version of it.
	for module in $(sed -n 's|^.*\(k8s.io/[a-z-]*\) => .*|\1|p' go.mod); do
		edits+=(-replace "$module=$module@$staging")
	done
fi
[ -z "${CILIUM:-}" ] || edits+=(-require "github.com/cilium/cilium@$CILIUM")
[ -z "${COREDNS:-}" ] || edits+=(-require "github.com/coredns/coredns@$COREDNS")
if [ -n "${ETCD:-}" ]; then
	for module in server api client/pkg client pkg; do
		edits+=(-require "go.etcd.io/etcd/$module/v3@$ETCD")
	done
fi
if [ ${#edits[@]} = 0 ]; then
	echo "usage: make try-versions KUBERNETES=vX.Y.Z CILIUM=vX.Y.Z ETCD=vX.Y.Z COREDNS=vX.Y.Z (one or more)" >&2
	exit 2
fi

report=$work/report
failed=
say() { echo "$@" | tee -a "$report"; }
finish() {
	if [ -n "${KEEP:-}" ]; then
		mkdir -p "$KEEP"
		cp go.mod go.sum "$report" "$KEEP/"
	fi
	if [ -n "$failed" ]; then
		say "== this set does not fit"
		exit 1
	fi
	say "== this set compiles; docs/upgrading.md says what is to be tested"
}

say "== modules"
go mod edit "${edits[@]}"
if ! go mod tidy -e >tidy.log 2>&1 || grep -q '^go: .*\(imports\|requires\|errors\)' tidy.log; then
	failed=1
	grep -vE '^go: (downloading|finding|found)' tidy.log | tee -a "$report"
fi
# What moves with it. The report has all; k8s.io's libraries are known to.
git -C "$repo" show HEAD:go.mod | awk '
	$1 ~ /\./ && $2 ~ /^v[0-9]/ { if (NR == FNR) was[$1] = $2; else if (($1 in was) && was[$1] != $2) print "  " $1, was[$1], "->", $2 }
' - go.mod >>"$report"
grep -E '^  (go.etcd.io|github.com/cilium|github.com/coredns|k8s.io/kubernetes|sigs.k8s.io)' "$report" || true
say "  $(grep -c ' -> ' "$report" || true) modules change their version"
# What was asked for may be raised by what another module wants.
for asked in ${KUBERNETES:+k8s.io/kubernetes@$KUBERNETES} ${CILIUM:+github.com/cilium/cilium@$CILIUM} \
	${COREDNS:+github.com/coredns/coredns@$COREDNS} ${ETCD:+go.etcd.io/etcd/server/v3@$ETCD}; do
	chosen=$(go list -m -f '{{.Path}}@{{.Version}}' "${asked%@*}" 2>&1) || true
	if [ "$chosen" != "$asked" ]; then
		failed=1
		say "asked for $asked, another module brings $chosen"
	fi
done

say "== packages that are gone"
# What make would pack is no matter of versions.
mkdir -p cmd/netdojo-cluster/packed cmd/netdojo-helm/packed manifests/builtin/packed
touch cmd/netdojo-cluster/packed/netdojo-helper cmd/netdojo-helm/packed/cilium.tgz manifests/builtin/packed/clusternetworkpolicies.yaml
gone=$(go list -e -test -deps -f '{{with .Error}}{{.}}{{end}}' "${PACKAGES:-./...}" 2>&1 | sort -u)
if [ -n "$gone" ]; then
	failed=1
	say "$gone"
	finish
fi

say "== what does not compile"
# vet compiles the tests too, and links nothing.
for command in "go build -gcflags=-e" "go vet -copylocks"; do
	$command "${PACKAGES:-./...}" >compile.log 2>&1 || failed=1
	grep -v '^go: downloading' compile.log | tee -a "$report" || true
	[ -z "$failed" ] || break
done
finish
