#!/usr/bin/env bash
# Makes a release of the last commit in two folders that are called and lie differently,
# each with a build cache of its own, and compares the bytes.
#
#   twice.sh CYCLONEDX TARGET...    CYCLONEDX is cyclonedx-gomod
#
# `make dist-twice` calls it. SHARED_CACHE=1 uses the user's build cache, which is
# quicker and proves less.
set -euo pipefail
cyclonedx=$(realpath "$1")
shift
repo=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for folder in one another/folder/with-a-longer-name; do
	mkdir -p "$work/$folder"
	git clone -q --no-hardlinks "$repo" "$work/$folder/src"
	mkdir -p "$work/$folder/src/bin/tools"
	cp "$cyclonedx" "$work/$folder/src/bin/tools/"
	(
		[ -n "${SHARED_CACHE:-}" ] || export GOCACHE=$work/$folder/cache
		make -C "$work/$folder/src" dist DIST="$*"
	)
done
diff "$work"/{one,another/folder/with-a-longer-name}/src/dist/SHA256SUMS
(cd "$work/one/src/dist" && sha256sum -c SHA256SUMS && cd "$work/another/folder/with-a-longer-name/src/dist" && sha256sum -c SHA256SUMS)
echo "both folders gave the same bytes"
