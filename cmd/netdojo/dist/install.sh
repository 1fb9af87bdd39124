#!/bin/sh
# Installs netdojo: programs, completions, man pages. It needs tar and nothing else.
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
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$prefix"
# A program that runs is not written over: its file is unlinked first. The status of a
# pipe is its last command's, so tar's: of half an archive it finds no end.
"$here/unzstd" <"$here/netdojo.tar.zst" | tar -x -C "$prefix" --strip-components=1
"$prefix/bin/netdojo" version
echo "netdojo is in $prefix/bin"
case :$PATH: in
*:"$prefix/bin":*) ;;
*) echo "put it on your PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
