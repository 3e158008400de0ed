# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and stop nodes: hosts with systemd in namespaces, without a kernel or a security module of their own.

A node's name is node-SUITE or node-SUITE-WORD. What changes in it is in memory. It reaches the network through a
process of slirp4netns, and is reached by ssh through its namespaces; no port of this machine is used.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import zip_bytecode
from artifact import ensure_source
from base import BUILD, HERE, LabError, digest, output, say
from image import FILES, MASKED, PYTHON_PACKAGES, debootstrap, remove_tree, ssh_key

PREFIX = "node-"
SUITES = ("bookworm", "trixie")
# A plain Debian that Ansible can reach; enable_host installs the rest.
PACKAGES = (
    "ca-certificates dbus iproute2 kmod openssh-server procps python3 python3-apt systemd systemd-sysv tar"
).split()
NAMESPACES = "--mount --pid --fork --ipc --uts --net --kill-child".split()
START_SECONDS = 60
# What apt needs to reach the mirror; the rest of a machine's configuration is for its packages.
APT_SETTINGS = re.compile(r"Acquire::(?:https?|ftp|Check-|Retries|ForceIPv|Languages\b)", re.I)
SOURCE = "var/lib/lab/criu.orig.tar.xz"
# A control group without controllers has no limits, and a process may not raise its own.
CONTAINERS = '[containers]\npids_limit = 0\ndefault_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]\n'
# The settings of the kernel are those of this machine. Nodes have no devices and no getty.
UNITS = (*MASKED, "systemd-sysctl.service", "systemd-udevd.service", "console-getty.service", "systemd-logind.service")


def is_node(name: str) -> bool:
    """Return whether a machine of this name is a node."""
    return name.startswith(PREFIX)


def suite_of(name: str) -> str:
    """Return the suite of a node."""
    suite = name.removeprefix(PREFIX).partition("-")[0]
    if suite not in SUITES:
        names = " or ".join(PREFIX + one for one in SUITES)
        raise LabError(f"Cannot start {name!r}: the suite {suite!r} is unknown. Begin the name with {names}.")
    return suite


def apt_settings(dump: str) -> list[str]:
    """Return the settings in what ``apt-config dump`` printed that lead to the mirror."""
    return [line.rstrip(";") for line in dump.splitlines() if APT_SETTINGS.match(line)]


def seed_files(name: str, hosts: str, dump: str) -> dict[str, str]:
    """Return the files of a node beside its packages; this machine's hosts and apt settings lead apt to the mirror."""
    return {
        "etc/hostname": f"{name}\n",
        "etc/hosts": hosts,
        "etc/resolv.conf": FILES["etc/resolv.conf"],
        "etc/apt/apt.conf.d/99lab": "".join(f"{line};\n" for line in apt_settings(dump)),
        "etc/ssh/sshd_config.d/lab.conf": FILES["etc/ssh/sshd_config.d/lab.conf"],
        "etc/machine-id": digest([name]).ljust(32, "0") + "\n",
        "etc/containers/containers.conf.d/lab.conf": CONTAINERS,
        "etc/systemd/system.conf.d/lab.conf": "[Manager]\nDefaultTimeoutStopSec=5s\n",
    }


def why_not() -> str:
    """Return why this machine cannot have nodes that checkpoint; nothing if it can."""
    if os.geteuid():
        return "only root can make the namespaces and mounts of a node. Run this as root"
    if not Path("/proc/sys/kernel/ns_last_pid").exists():
        return "this kernel is without CONFIG_CHECKPOINT_RESTORE"
    script = 'mount --make-rprivate / && mount -t cgroup2 cgroup2 /mnt && mkdir "/mnt/$1" && rmdir "/mnt/$1"'
    argv = ["unshare", *NAMESPACES, "--cgroup", "sh", "-c", script, "sh", f"criu-lab-{os.getpid()}"]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return f"namespaces or control groups cannot be made here: {done.stderr.strip()}" if done.returncode else ""


def ensure_root(suite: str) -> Path:
    """Return the root file system of the nodes of a suite; make it if it does not exist."""
    final = BUILD / f"plain-{suite}-{digest([suite, *PACKAGES], [Path(zip_bytecode.__file__)])}"
    if not final.exists():
        for old in BUILD.glob(f"plain-{suite}-*"):
            remove_tree(old)
        part = BUILD / "plain.part"
        remove_tree(part)
        debootstrap(part, suite, PACKAGES, f"installing Debian {suite} for the nodes, about 30 s")
        zip_bytecode.install(str(part / PYTHON_PACKAGES))
        os.replace(part, final)
    return final


def make_seed(name: str, root: Path, seed: Path) -> None:
    """Make the folder whose content is copied into a node before it starts."""
    for path, text in seed_files(name, Path("/etc/hosts").read_text(), output(["apt-config", "dump"])).items():
        (seed / path).parent.mkdir(parents=True, exist_ok=True)
        (seed / path).write_text(text)
    (seed / "etc/systemd/system").mkdir()
    for unit in UNITS:
        (seed / "etc/systemd/system" / unit).symlink_to("/dev/null")
    copies = {"root/.ssh/authorized_keys": ssh_key().with_suffix(".pub"), SOURCE: ensure_source(root)}
    for path, source in copies.items():
        (seed / path).parent.mkdir(mode=0o700, parents=True)
        shutil.copyfile(source, seed / path)


def control_group(folder: Path) -> str:
    """Return the name of the control group of a node; those of another checkout have other names."""
    return f"criu-lab-{digest([str(folder)])}"


def script_argv(action: str, folder: Path, *words: str) -> list[str]:
    """Return a call of the script that makes a node, connects with it, or removes what it leaves."""
    return ["sh", str(HERE / "native.sh"), action, control_group(folder), str(folder), *words]


def slirp_argv(pid: int, exit_fd: int, ready_fd: int) -> list[str]:
    """Return the command that connects a node with the network, until the other end of the first pipe is closed."""
    options = ["--configure", "--disable-host-loopback", f"--exit-fd={exit_fd}", f"--ready-fd={ready_fd}"]
    return ["slirp4netns", *options, str(pid), "eth0"]


def start(name: str, folder: Path) -> None:
    """Start a node; return when its systemd runs. The folder exists."""
    root = ensure_root(suite_of(name))
    make_seed(name, root, folder / "seed")
    say(f"{name}: starting")
    # Only the supervisor of the node has the other end, so that the network ends with the node.
    watched, held = os.pipe()
    ready, done = os.pipe()
    console = folder / "console.log"
    supervisor = spawn(["unshare", *NAMESPACES, *script_argv("start", folder, str(root))], console, held)
    os.close(held)
    until = time.monotonic() + START_SECONDS
    while (pid := pid_of(folder)) is None:
        if supervisor.poll() is not None or time.monotonic() > until:
            raise LabError(f"{name}: the node did not start. See {console}; it ends with:\n{tail(console)}")
        time.sleep(0.05)
    spawn(slirp_argv(pid, watched, done), console, watched, done)
    os.close(watched)
    os.close(done)
    if not select.select([ready], [], [], START_SECONDS)[0] or not os.read(ready, 1):
        raise LabError(f"{name}: slirp4netns did not start. See {console}; it ends with:\n{tail(console)}")
    os.close(ready)
    wait_for_systemd(name, folder, console)


def spawn(argv: list[str], log: Path, *descriptors: int) -> subprocess.Popen[bytes]:
    """Start a program that goes on when this one ends, with some descriptors of this one."""
    with log.open("ab") as out:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, pass_fds=descriptors
        )


def wait_for_systemd(name: str, folder: Path, console: Path) -> None:
    """Wait until the node's systemd has started all units."""
    until = time.monotonic() + START_SECONDS
    while True:
        pid = pid_of(folder)
        if pid is None or time.monotonic() > until:
            raise LabError(f"{name}: systemd did not start. See {console}; it ends with:\n{tail(console)}")
        argv = [*inside(pid), "systemctl", "is-system-running"]
        state = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False).stdout
        if state.strip() in ("running", "degraded"):
            say(f"{name}: {state.strip()}")
            return
        time.sleep(0.1)


def tail(console: Path) -> str:
    """Return the end of what a node printed."""
    return console.read_text(errors="replace")[-1500:]


def inside(pid: int) -> list[str]:
    """Return the beginning of a command that runs in a node."""
    return ["nsenter", f"--target={pid}", "--all"]


def pid_of(folder: Path) -> int | None:
    """Return the process id of a node's systemd, or None if that process is no longer in the node's namespace."""
    try:
        pid, space = (folder / "init").read_text().split()
        return int(pid) if os.readlink(f"/proc/{pid}/ns/pid") == space else None
    except (OSError, ValueError):
        return None


def stop(folder: Path) -> None:
    """End all processes of a node, and remove its control groups; its mounts disappear with its processes."""
    pid = pid_of(folder)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    while pid_of(folder) is not None:
        time.sleep(0.05)
    subprocess.run(["unshare", "--mount", *script_argv("clean", folder)], stdin=subprocess.DEVNULL, check=False)
