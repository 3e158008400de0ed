# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the disk image of the lab's machines from Debian packages, with the image of the test containers in it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Sequence

import zip_bytecode
from base import BUILD, HERE, LabError, digest, output, run, say

SUITE = "trixie"
PYTHON_PACKAGES = "usr/lib/python3/dist-packages"
DISK_SIZE = "10G"
PACKAGES = (
    "aardvark-dns auditd ca-certificates conmon criu crun dbus iproute2 libcap2-bin libcriu2 linux-image-cloud-amd64 "
    "netavark nftables openssh-server podman policycoreutils policycoreutils-python-utils procps python3 python3-apt "
    "python3-selinux python3-semanage runc selinux-policy-default setools systemd systemd-sysv tar udev zstd "
    # Libraries of the lab's CRIU that the other packages do not pull in
    "libgnutls30t64 libnet1 libnftables1 libnl-3-200 libprotobuf-c1"
).split()
WORKLOAD_PACKAGES = "dash procps python3-minimal redis-server".split()
# An image of half the size is imported in half the time, which saves many seconds under emulation.
NOT_IN_CONTAINERS = (
    "var/lib/apt var/lib/dpkg var/cache usr/bin/perl* usr/bin/dpkg* usr/bin/localedef usr/bin/redis-benchmark "
    "usr/lib/*/gconv usr/lib/*/perl* usr/lib/*/libdb-* usr/lib/*/libmvec* usr/lib/locale usr/lib/python3 "
    "usr/share"
).split()
SLIM = [
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
]
MASKED = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer getty@tty1.service "
    "serial-getty@ttyS0.service systemd-network-generator.service systemd-networkd-wait-online.service "
    "systemd-pstore.service netavark-firewalld-reload.service systemd-timesyncd.service"
).split()
FILES = {
    "etc/hostname": "lab\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/fstab": "",
    "etc/resolv.conf": "nameserver 10.0.2.3\n",
    "etc/systemd/network/10-lab.network": (
        "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    ),
    "etc/ssh/sshd_config.d/lab.conf": "PermitRootLogin prohibit-password\nUseDNS no\nMaxSessions 50\n",
    "etc/initramfs-tools/conf.d/lab": "MODULES=list\nCOMPRESS=lz4\n",
    "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\n",
    "etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=default\n",
}


def payload_files() -> list[Path]:
    """Return the programs that run in the lab's containers."""
    return sorted((HERE / "payload").glob("*.py"))


def image_key(public_key: str) -> str:
    """Return the key of an image: a digest of all its sources."""
    return digest([public_key], [HERE / "image.py", HERE / "zip_bytecode.py", *payload_files()])


def ssh_key() -> Path:
    """Return the private ssh key of the lab; make it once per build folder."""
    key = BUILD / "id_ed25519"
    if not key.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        output(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(key)])
    return key


def image_dir() -> Path:
    """Return the folder of the image that belongs to the current sources; it may not exist yet."""
    return BUILD / f"image-{image_key(ssh_key().with_suffix('.pub').read_text())}"


def ensure_image() -> Path:
    """Return the folder with disk.raw, vmlinuz and initrd.img; make it if it does not exist."""
    final = image_dir()
    if final.exists():
        return final
    if os.geteuid():
        raise LabError("Cannot make the image: only root can set its file owners and SELinux labels. Run this as root.")
    part = BUILD / "image.part"
    remove_tree(part)
    part.mkdir()
    root = part / "root"
    debootstrap(root, SUITE, PACKAGES, f"installing Debian {SUITE} for the image, about 90 s")
    add_workload(root, part / "workload")
    configure(root)
    seal(root, part)
    take_kernel(root, part)
    # The root file system is kept beside its disk: other images are built on top of it.
    os.replace(part, final)
    say(f"image {final.name} is ready")
    return final


def seal(root: Path, part: Path) -> None:
    """Label a root file system and make a disk from it."""
    contexts = "/etc/selinux/default/contexts/files/file_contexts"
    outside = [word for path in ("/proc", "/sys", "/dev") for word in ("-e", path)]
    run(
        "setting SELinux labels, setfiles in the root of the image",
        chroot_argv(root, ["setfiles", "-F", *outside, contexts, "/"]),
    )
    run(
        "making the disk, mke2fs",
        ["mke2fs", "-q", "-t", "ext4", "-m", "0", "-L", "lab", "-d", str(root), str(part / "disk.raw"), DISK_SIZE],
    )


def take_kernel(root: Path, part: Path) -> None:
    """Copy the kernel and its initrd out of a root file system, for QEMU."""
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile(root / os.readlink(root / name), part / name)


def debootstrap(root: Path, suite: str, packages: Sequence[str], what: str, variant: str = "minbase") -> None:
    """Make a root file system from Debian packages."""
    options = [f"--dpkgopt={option}" for option in SLIM]
    run(
        what,
        [
            "mmdebstrap",
            "--mode=root",
            f"--variant={variant}",
            *options,
            '--aptopt=Acquire::Retries "3"',
            f"--include={','.join(packages)}",
            suite,
            str(root),
        ],
    )


def chroot_argv(root: Path, argv: Sequence[str], inside: bool = True) -> list[str]:
    """Return the command that runs a program in a root file system, or outside it with the same mounts.

    The mounts disappear when the program ends.
    """
    script = 'mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" && shift && exec "$@"'
    return [
        "unshare",
        "--mount",
        "--",
        "sh",
        "-c",
        script,
        "sh",
        str(root),
        *(["chroot", str(root)] if inside else []),
        *argv,
    ]


def configure(root: Path) -> None:
    """Configure a pristine host that boots with SELinux enforcing and accepts the lab's ssh key."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
    ssh = root / "root" / ".ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(ssh_key().with_suffix(".pub"), ssh / "authorized_keys")
    (root / "etc/machine-id").write_text(digest(["lab"]).ljust(32, "0") + "\n")
    zip_bytecode.install(str(root / PYTHON_PACKAGES))
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    run(
        "enabling units, systemctl in the root of the image",
        chroot_argv(root, ["systemctl", "enable", "systemd-networkd.service"]),
    )
    run("making the initrd, with the modules that the machine needs", chroot_argv(root, ["update-initramfs", "-u"]))


def add_workload(root: Path, scratch: Path) -> None:
    """Add the image of the test containers to the machine's image, as a tar file for podman import."""
    debootstrap(
        scratch, SUITE, WORKLOAD_PACKAGES, "installing Debian for the containers, about 30 s", variant="essential"
    )
    for pattern in NOT_IN_CONTAINERS:
        for path in scratch.glob(pattern):
            remove_tree(path) if path.is_dir() else path.unlink()
    (scratch / "app").mkdir()
    for path in payload_files():
        shutil.copyfile(path, scratch / "app" / path.name)
    target = root / "var/lib/lab"
    target.mkdir(parents=True)
    run(
        "packing the image of the containers",
        ["tar", "--numeric-owner", "-C", str(scratch), "-cf", str(target / "workload.tar"), "."],
    )
    for path in payload_files():
        shutil.copyfile(path, target / path.name)
    remove_tree(scratch)


def remove_tree(path: Path) -> None:
    """Remove a folder if it exists."""
    if path.exists():
        shutil.rmtree(path)


def remove_old(keep: set[str]) -> None:
    """Remove images and snapshots that are no longer used, and the remains of interrupted builds."""
    for path in BUILD.glob("*"):
        old = path.name.startswith(("image-", "virgin-")) and path.name not in keep
        if old or path.name in ("image.part", "virgin.part"):
            say(f"removing {path.name}")
            remove_tree(path) if path.is_dir() else path.unlink()
