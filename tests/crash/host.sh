#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Make a host for tests out of namespaces, and run a program in it:
#   host.sh start CGROUP WORK ROOT ARTIFACT PROJECT ANSIBLE ARGUMENTS...
#   host.sh boot CGROUP WORK ROOT ARTIFACT PROJECT ANSIBLE OUTPUT ARGUMENTS...
#                                the same below systemd, with OUTPUT, a folder, at /crash/output
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
    exec unshare -C sh "$0" inside "$cgroup" "$work" "$action" "$@"
fi
how=$1 root=$2 artifact=$3 project=$4 ansible=$5
shift 5
mount -t tmpfs -o size=2g tmpfs "$work"
mkdir "$work/upper" "$work/scratch" "$work/root"
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/scratch" overlay "$work/root"
cd "$work/root"
tar -xzf "$artifact" -C usr sbin lib
# The image of the lab has no age; that of the machine serves, if there is one.
for name in age age-keygen; do
    ! program=$(command -v "$name") || cp "$program" usr/bin/
done
mount -t proc proc proc
if [ "$how" = boot ]; then
    # Systemd changes nodes of devices, so it gets a folder of its own.
    mount -t tmpfs -o mode=755 tmpfs dev
    mkdir dev/pts dev/shm
    for name in null zero full random urandom tty kmsg; do
        touch "dev/$name"
        mount --bind "/dev/$name" "dev/$name"
    done
    for name in fd stdin=fd/0 stdout=fd/1 stderr=fd/2; do
        ln -s "/proc/self/${name#*=}" "dev/${name%=*}"
    done
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    mount -t tmpfs tmpfs dev/shm
else
    mount --rbind /dev dev
fi
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
if [ "$how" = boot ]; then
    mkdir -p crash/output
    mount --bind "$1" crash/output
    shift
fi
mkdir -p etc/containers/containers.conf.d etc/criu
# A cgroup without controllers has no limits, and a host may not allow to raise limits.
cat > etc/containers/containers.conf.d/crash.conf <<CONF
[containers]
pids_limit = 0
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "$([ "$how" = boot ] && echo systemd || echo cgroupfs)"
events_logger = "file"
CONF
echo 'manage-cgroups ignore' > etc/criu/runc.conf
mkdir -p crash/old
pivot_root . crash/old
umount -l /crash/old
hostname crash
ip link set lo up
cd /
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
if [ "$how" = boot ]; then
    mount --make-rshared / # as systemd does on a host
    printf '%s\n' "$@" > etc/crash-arguments
    cat > etc/systemd/system/crash.service <<UNIT
[Unit]
DefaultDependencies=no
After=basic.target dbus.service
Wants=dbus.service
[Service]
Type=oneshot
Delegate=yes
Environment=PATH=$path HOME=/root LC_ALL=C.UTF-8 PYTHONPATH=/crash:/crash/ansible_collections/criu/hosts/tests/crash
Environment=PYTHONPYCACHEPREFIX=/tmp/pycache PYTHONUNBUFFERED=1
ExecStart=xargs --arg-file=/etc/crash-arguments --delimiter=\\n python3
StandardOutput=append:/crash/output/log
TimeoutStopSec=2
ExecStopPost=systemctl exit --force --force 0
UNIT
    mkdir -p etc/systemd/system.conf.d
    printf '[Manager]\nDefaultTimeoutStopSec=3s\n' > etc/systemd/system.conf.d/crash.conf
    ln -sf /dev/null etc/systemd/system/systemd-udevd.service
    ln -sf crash.target etc/systemd/system/default.target
    printf '[Unit]\nRequires=basic.target crash.service\nAfter=basic.target\nAllowIsolate=yes\n' \
        > etc/systemd/system/crash.target
    exec env -i container=other PATH="$path" /lib/systemd/systemd --system
fi
exec env -i PATH="$path" HOME=/root LC_ALL=C.UTF-8 \
    PYTHONPATH=/crash PYTHONPYCACHEPREFIX=/tmp/pycache PYTHONUNBUFFERED=1 \
    python3 "/$packages/tests/crash/init.py" "$@"
