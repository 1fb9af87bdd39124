#!/bin/sh
# Installs what is in this bundle: netdojo's programs, and the images of its labs into the
# local store. It needs neither Go, a compiler nor a network.
#
#   ./install.sh [--prefix FOLDER]    default: /usr/local for root, else ~/.local
set -eu
case $#:${1:-} in
0:)
	prefix=$HOME/.local
	[ "$(id -u)" != 0 ] || prefix=/usr/local
	;;
2:--prefix) prefix=$2 ;;
*)
	echo "usage: $0 [--prefix FOLDER]" >&2
	exit 2
	;;
esac
cd "$(dirname "$0")"
sums=
for tool in sha256sum "shasum -a 256"; do
	if [ -z "$sums" ] && command -v ${tool%% *} >/dev/null; then sums=$tool; fi
done
if [ -z "$sums" ]; then
	echo "this machine has no sha256sum: whether the bundle is whole is not known" >&2
elif ! said=$($sums -c SHA256SUMS 2>&1); then
	printf '%s\n' "$said" | grep -v ': OK$' >&2 || :
	echo "this bundle is broken: unpack it again, or copy it again from where it was made" >&2
	exit 3
fi
mkdir -p "$prefix/bin"
# A program that runs is not written over.
for program in bin/*; do
	cp "$program" "$prefix/$program.new"
	mv -f "$prefix/$program.new" "$prefix/$program"
done
for image in images/*.tar; do
	[ ! -e "$image" ] || "$prefix/bin/netdojo" image load "$image"
done
"$prefix/bin/netdojo" version
echo "netdojo is in $prefix/bin"
case :$PATH: in
*:"$prefix/bin":*) ;;
*) echo "put it on your PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
if [ -d course ]; then
	echo "the labs are in $(pwd)/course; the first steps: netdojo doctor --course $(pwd)/course"
else
	echo "the first steps: netdojo doctor --course catalogue, then netdojo"
fi
