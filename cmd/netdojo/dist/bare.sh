#!/usr/bin/env bash
# Installs a release on a bare Debian and runs lab 04 there, in namespaces of its own:
# without Go, a compiler or a network. It prints how long it took from unpacking the
# archive to the first check that passed, and fails above LIMIT seconds (default: 30).
#
#   bare.sh ARCHIVE    netdojo-VERSION-linux-ARCH.tar, of this machine's architecture
#
# `make dist-test` calls it. Needs root, debootstrap and a Debian mirror. Nothing is
# left: the root file system is a temporary folder, and its mounts and processes are of
# namespaces that end with it.
set -euo pipefail
limit=${LIMIT:-30}

if [ "${1:-}" != --inside ]; then
	archive=$(realpath "$1")
	root=$(mktemp -d)
	trap 'rm -rf --one-file-system "$root"' EXIT
	chmod 755 "$root"
	# In a mount namespace too: debootstrap mounts /proc while it works.
	unshare --mount --propagation private debootstrap --variant=minbase --include=curl bookworm "$root" >"$root.log" 2>&1 ||
		{ tail -n 20 "$root.log" >&2; rm -f "$root.log"; exit 1; }
	rm -f "$root.log"
	cp "$archive" "$root/root/netdojo.tar"
	unshare --mount --propagation private --pid --fork --kill-child --net --ipc --uts "$0" --inside "$root" "$limit"
	exit
fi

# The new root becomes that of the mount namespace, as user namespaces are not to be had
# in a chroot.
root=$2
limit=$3
ip link set lo up
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/zero" c 1 5
mknod -m 666 "$root/dev/full" c 1 7
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
mknod -m 666 "$root/dev/tty" c 5 0
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/.outside"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs shm "$root/dev/shm"
cd "$root"
pivot_root . .outside
umount -l .outside
rmdir .outside
cd /root
# What is measured: two commands that a user types.
env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LIMIT="$limit" bash -euo pipefail <<'INSIDE'
! command -v go gcc zstd xz >/dev/null || { echo "this Debian is not bare" >&2; exit 1; }
! curl -sS --max-time 2 http://192.0.2.1 2>/dev/null || { echo "there is a network" >&2; exit 1; }
began=${EPOCHREALTIME/[.,]/}
tar -xf netdojo.tar
./netdojo-*/install.sh
installed=${EPOCHREALTIME/[.,]/}
first=
passed=
while IFS= read -r line; do
	echo "$line"
	case $line in
	"    ok "*) first=${first:-${EPOCHREALTIME/[.,]/}} ;;
	"Passed in "*) passed=1 ;;
	esac
done < <(netdojo run 04 || echo "netdojo run 04 ended with exit code $?")
if [ -z "$first" ] || [ -z "$passed" ]; then
	echo "lab 04 did not pass" >&2
	exit 1
fi
echo "installed after $(((installed - began) / 1000)) ms, first passed check after $(((first - began) / 1000)) ms of at most $LIMIT s"
[ $((first - began)) -le $((LIMIT * 1000000)) ]
INSIDE
