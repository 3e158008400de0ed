#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Run a program in a root file system, with what a machine has mounted, and the pip cache of this checkout:
#   fresh.sh ROOT CLONE CACHE [FOLDER...] -- PROGRAM [ARGUMENT...]
# PROGRAM starts in CLONE, a folder in ROOT. Each FOLDER is to be seen at the same path, read-only. Call it in new mount
# and PID namespaces, with which all mounts disappear: unshare(1).
set -eu
root=$1 clone=$2 cache=$3
shift 3
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mkdir -p "$root$clone/.build/pip-cache"
mount --bind "$cache" "$root$clone/.build/pip-cache"
while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --bind -o ro "$1" "$root$1"
    shift
done
shift
# No exec: this shell is process 1, which has to wait for the orphans. Make, as process 1, does not survive them.
# shellcheck disable=SC2016  # the shell in the root expands it
chroot "$root" sh -c 'cd "$1" && shift && exec "$@"' sh "$clone" "$@"
exit $?
