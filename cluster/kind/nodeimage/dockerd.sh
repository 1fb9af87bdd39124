#!/usr/bin/env bash
# Starts a Docker daemon where none answers, on machines without an init system
# that would (in CI, say). Its default runtime is runcfit, so that it works
# without CAP_SYS_RESOURCE too.
#
#   dockerd.sh RUNCFIT FOLDER    logs to FOLDER/dockerd.log, pid in FOLDER/dockerd.pid
set -euo pipefail
runcfit=$(realpath "$1") folder=$2

if docker version >/dev/null 2>&1; then
	exit 0
fi
command -v dockerd >/dev/null || { echo "no dockerd here: apt-get install docker.io" >&2; exit 1; }
mkdir -p "$folder"
(
	# The daemon outlives the caller and must not keep what that has open: a lock
	# file, say.
	for fd in /proc/self/fd/*; do
		fd=${fd##*/}
		if ((fd > 2)); then
			exec {fd}>&-
		fi
	done
	setsid nohup dockerd --add-runtime "runcfit=$runcfit" --default-runtime runcfit \
		>"$folder/dockerd.log" 2>&1 </dev/null &
	echo $! >"$folder/dockerd.pid"
)
deadline=$((SECONDS + 60))
until docker version >/dev/null 2>&1; do
	if ! kill -0 "$(<"$folder/dockerd.pid")" 2>/dev/null || ((SECONDS > deadline)); then
		tail -n 20 "$folder/dockerd.log" >&2
		echo "dockerd does not start: its log is $folder/dockerd.log" >&2
		exit 1
	fi
	sleep 0.2
done
