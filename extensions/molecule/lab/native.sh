#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Make a node out of namespaces, and become its systemd:
#   native.sh start CGROUP FOLDER ROOT
#   native.sh clean CGROUP FOLDER    remove the control groups that it has left, when it has ended
#   native.sh session CGROUP FOLDER  become the ssh server of one connection with it
# ROOT stays unchanged below an overlay in memory, into which FOLDER/seed is copied. FOLDER/init gets the process id of
# systemd and its PID namespace. All mounts disappear with the node. Call start and
# clean as native.py does, in new namespaces.
set -eu
action=$1 cgroup=$2 folder=$3
shift 3
work=$folder/work
if [ "$action" = session ]; then
    read -r pid space < "$folder/init" || true
    if [ -z "$space" ] || [ "$(readlink "/proc/$pid/ns/pid")" != "$space" ]; then
        echo "The node of $folder does not run. Start it with lab.py up." >&2
        exit 1
    fi
    # In a service of the node's systemd, so that a session is in a control group of the node.
    exec nsenter --target="$pid" --all \
        systemd-run --quiet --pipe --wait --collect --property=KillMode=process /usr/sbin/sshd -i
fi
# Mount each hierarchy of control groups at $work, and do $1 there. A machine may have some of the first version, too:
# CRIU dumps and restores a container's groups in all of them.
in_each() {
    mount -t cgroup2 cgroup2 "$work"
    "$1"
    umount "$work"
    for name in $(sed -n 's/^[1-9][0-9]*:\([^:]*\):.*/\1/p' /proc/self/cgroup); do
        case $name in name=*) name=none,$name ;; esac
        mount -t cgroup -o "$name" cgroup "$work"
        "$1"
        umount "$work"
    done
}
enter() {
    mkdir -p "$work/$cgroup"
    if [ -e "$work/cpuset.cpus" ] && [ -e "$work/cgroup.clone_children" ]; then
        # In the first version, a new group of this kind has no processors.
        for file in cpuset.cpus cpuset.mems; do
            cat "$work/$file" > "$work/$cgroup/$file"
        done
        echo 1 > "$work/$cgroup/cgroup.clone_children"
    fi
    echo 0 > "$work/$cgroup/cgroup.procs"
}
leave() {
    [ ! -d "$work/$cgroup" ] || find "$work/$cgroup" -depth -type d -exec rmdir {} +
}
if [ "$action" != inside ]; then
    mount --make-rprivate /
    mkdir -p "$work"
    if [ "$action" = clean ]; then
        in_each leave
        exit
    fi
    in_each enter
    exec unshare --cgroup sh "$0" inside "$cgroup" "$folder" "$1"
fi
# In this /proc, which is that of the machine, the process has the number that the machine gives it.
read -r pid rest < /proc/self/stat
space=$(readlink "/proc/$pid/ns/pid")
mount -t tmpfs -o size=3g,mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/scratch" "$work/root"
mount -t overlay -o "lowerdir=$1,upperdir=$work/upper,workdir=$work/scratch" overlay "$work/root"
cp -R "$folder/seed/." "$work/root"
cd "$work/root"
chmod 755 var/lib/lab
mount -t proc proc proc
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
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p var/lib/containers mnt
# Podman cannot use an overlay on top of an overlay.
mount -t tmpfs tmpfs var/lib/containers
hostname "$(cat etc/hostname)"
echo "$pid $space" > "$folder/init.part"
mv "$folder/init.part" "$folder/init"
pivot_root . mnt
umount -l /mnt
cd /
ip link set lo up
mount --make-rshared / # as systemd does on a host
exec env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system
