#!/usr/bin/env bash
# Makes a release: an archive for each target, and their checksums. The same commit gives
# the same bytes in any folder.
#
#   dist.sh FOLDER TARGET...    a target is linux-amd64, darwin-arm64, windows-amd64, ...
#
# `make dist` calls it with LDFLAGS, the linker's flags of any build, and CYCLONEDX,
# which is cyclonedx-gomod. VERSION, COMMIT and SOURCE_DATE_EPOCH tell what is released
# where there is no git. Needs Go, git and zstd. Intermediate results stay in
# FOLDER/build.
set -euo pipefail
mkdir -p "$1"
out=$(realpath "$1")
shift
cyclonedx=$(realpath "${CYCLONEDX:?}")
cd "$(dirname "$0")/../../.."

module=github.com/netdojo/netdojo
commit=${COMMIT:-$(git rev-parse HEAD)}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
version=${VERSION:-}
if [ -z "$version" ]; then
	# Of fixed length: git would take as many digits as the repository needs.
	version=$(git describe --tags --always --abbrev=12 --dirty --match 'v*')
	[[ $version == v* ]] || version=v0.0.0-$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)-$version
fi
version=${version#v}
ldflags="${LDFLAGS:?} -X $module/cmd/netdojo/app/version.Version=$version -X $module/cmd/netdojo/app/version.Commit=$commit"

# What runs on the user's own system, and what a kind cluster's nodes get from it.
client=(netdojo netdojo-kubectl)
nodes=(netdojo-agent netdojo-cilium netdojo-helper)
linux=("${client[@]}" "${nodes[@]}" netdojo-cluster netdojo-coredns netdojo-helm)

# Nothing of the folder, the user or the git checkout goes into a program.
export CGO_ENABLED=0 GOFLAGS=-trimpath\ -buildvcs=false
unset NETDOJO_CLUSTER NETDOJO_STATE_DIR
tool=$out/build/dist
go build -o "$tool" ./cmd/netdojo/dist

# build OS ARCH FOLDER PROGRAM... : the cluster's helper lies inside the cluster's program.
build() {
	local os=$1 arch=$2 bin=$3 helper
	shift 3
	helper=$out/build/packed/linux-$arch/netdojo-helper
	if [[ " $* " == *" netdojo-cluster "* ]]; then
		GOOS=linux GOARCH=$arch go build -ldflags '-s -w' -o "$helper" ./cmd/netdojo-helper
		printf '{"Replace": {"%s": "%s"}}\n' "$PWD/cmd/netdojo-cluster/packed/netdojo-helper" "$helper" >"$out/build/overlay.json"
	else
		echo '{}' >"$out/build/overlay.json"
	fi
	GOOS=$os GOARCH=$arch go build -overlay "$out/build/overlay.json" -ldflags "$ldflags" -o "$bin/" "${@/#/./cmd/}"
}

for target in "$@"; do
	start=$SECONDS
	IFS=- read -r os arch <<<"$target"
	name=netdojo-$version-$target
	dir=$out/build/$name
	rm -rf "$out/build/netdojo-"*"-$target" "$out/netdojo-"*"-$target".*
	mkdir -p "$dir/bin" "$dir/share/doc/netdojo/sbom"
	case $os in
	linux)
		build linux "$arch" "$dir/bin" "${linux[@]}"
		;;
	darwin | windows)
		build "$os" "$arch" "$dir/bin" "${client[@]}"
		build linux "$arch" "$dir/bin" "${nodes[@]}"
		;;
	*)
		echo "dist.sh: there is no release for $target" >&2
		exit 1
		;;
	esac
	"$tool" docs "$os" "$dir"
	"$tool" notices "$dir/share/doc/netdojo/LICENCES" "$dir"/bin/*
	install -m 644 LICENSE README.md "$dir/share/doc/netdojo"
	for program in "$dir"/bin/*; do
		"$cyclonedx" bin -json -noserial -notimestamp -std -version "v$version" \
			-output "$dir/share/doc/netdojo/sbom/$(basename "$program").cdx.json" "$program"
	done
	case $os in
	windows) "$tool" pack "$dir" "$out/$name.zip" ;;
	darwin)
		"$tool" pack "$dir" "$out/build/$name.tar"
		gzip -9n <"$out/build/$name.tar" >"$out/$name.tar.gz"
		;;
	linux)
		# What is compressed lies in a plain archive, with what takes it out: a small
		# system has neither zstd nor xz, and gzip's archive is a third larger.
		"$tool" pack "$dir" "$out/build/$name.tar"
		rm -rf "$dir"
		mkdir "$dir"
		zstd -q -19 --long=27 -T0 "$out/build/$name.tar" -o "$dir/netdojo.tar.zst"
		install -m 755 cmd/netdojo/dist/install.sh "$dir"
		GOOS=linux GOARCH=$arch go build -ldflags '-s -w' -o "$dir/" ./cmd/netdojo/dist/unzstd
		"$tool" pack "$dir" "$out/$name.tar"
		;;
	esac
	rm -f "$out/build/$name.tar"
	rm -rf "$dir"
	echo "$name: $((SECONDS - start)) s"
done
cd "$out"
sha256sum netdojo-*.* >SHA256SUMS
du -h --apparent-size netdojo-*.* SHA256SUMS
