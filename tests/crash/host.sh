#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Make a host for tests out of namespaces, and run a program in it:
#   host.sh start CGROUP WORK ROOT ARTIFACT PROJECT ANSIBLE ARGUMENTS...
#   host.sh clean CGROUP WORK    remove the control groups that it has left, when it has ended
# ROOT (the root file system of the lab's image) stays unchanged below an overlay in memory, with the CRIU of ARTIFACT in
# it. PROJECT and the Python package ANSIBLE are mounted, read-only. All of it disappears with the program. Call it in new
# mount, PID, IPC, UTS and network namespaces: `unshare -m -p -f -i -u -n --kill-child`; for clean, `unshare -m`.
set -eu
action=$1 cgroup=$2 work=$3
shift 3
if [ "$action" != inside ]; then
    mount --make-rprivate /
    mount -t cgroup2 cgroup2 "$work"
    if [ "$action" = clean ]; then
        [ ! -d "$work/$cgroup" ] || find "$work/$cgroup" -depth -type d -exec rmdir {} +
        exit
    fi
    # The control groups of the containers are made below this one.
    mkdir -p "$work/$cgroup"
    echo 0 > "$work/$cgroup/cgroup.procs"
    umount "$work"
    exec unshare -C sh "$0" inside "$cgroup" "$work" "$@"
fi
root=$1 artifact=$2 project=$3 ansible=$4
shift 4
mount -t tmpfs -o size=2g tmpfs "$work"
mkdir "$work/upper" "$work/scratch" "$work/root"
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/scratch" overlay "$work/root"
cd "$work/root"
tar -xzf "$artifact" -C usr sbin lib
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p var/lib/containers
mount -t tmpfs tmpfs var/lib/containers
packages=crash/ansible_collections/criu/hosts
mkdir -p "$packages" crash/ansible
mount --bind -o ro "$project" "$packages"
mount --bind -o ro "$ansible" crash/ansible
mkdir -p etc/containers/containers.conf.d etc/criu
# A cgroup without controllers has no limits, and a host may not allow to raise limits.
cat > etc/containers/containers.conf.d/crash.conf <<'CONF'
[containers]
pids_limit = 0
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
echo 'manage-cgroups ignore' > etc/criu/runc.conf
mkdir -p crash/old
pivot_root . crash/old
umount -l /crash/old
hostname crash
ip link set lo up
cd /
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    PYTHONPATH=/crash PYTHONPYCACHEPREFIX=/tmp/pycache PYTHONUNBUFFERED=1 \
    python3 "/$packages/tests/crash/init.py" "$@"
