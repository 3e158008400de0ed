# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot, snapshot, list and remove the lab's virtual machines."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable

import native
from apparmor_image import apparmor_dir, ensure_apparmor_image
from base import BUILD, LabError, digest, output, say, write_atomic
from bookworm_image import bookworm_dir, ensure_bookworm_image
from image import ensure_image, image_dir, remove_old, remove_tree, ssh_key
from kinds import LSMS, kind_of
from services_image import PREFIX as SERVICES_PREFIX
from services_image import ensure_services_image, services_dir

QEMU = "qemu-system-x86_64"
MEMORY_MIB = 2048
# For the web server, the databases and the containers of the applications
SERVICES_MEMORY_MIB = 3072
SNAPSHOT = "virgin"
BOOT_SECONDS = 600
KERNEL_ARGUMENTS = (
    "root=/dev/vda rw console=ttyS0 {lsm} net.ifnames=0 mitigations=off panic=1 "
    "audit=1 audit_backlog_limit=8192 systemd.show_status=0 loglevel=4 nokaslr"
)
# The name of an image in kinds.py -> the folder of its current sources, and what makes it
IMAGES: dict[str, tuple[Callable[[], Path], Callable[[], Path]]] = {
    "base": (image_dir, ensure_image),
    "services": (services_dir, ensure_services_image),
    "apparmor": (apparmor_dir, ensure_apparmor_image),
    "bookworm": (bookworm_dir, ensure_bookworm_image),
}


def folder_of(name: str) -> Path:
    """Return the folder of a machine or node."""
    return BUILD / f"machine-{name}"


@dataclass(frozen=True)
class Machine:
    """A virtual machine or a node; the folder of a machine holds its disk, its console log and QEMU's sockets.

    ``lsm``: see LSMS.
    """

    name: str
    port: int
    image: str
    accel: str
    lsm: str = "enforcing"

    @property
    def folder(self) -> Path:
        return folder_of(self.name)


def qemu_argv(machine: Machine, image: Path, snapshot: str | None = None) -> list[str]:
    """Return QEMU's arguments; a snapshot can only be loaded with the arguments that it was saved with."""
    cpu, accel = ("host", "kvm") if machine.accel == "kvm" else ("max,la57=off", "tcg,thread=single,tb-size=512")
    folder = machine.folder
    return [
        QEMU,
        "-name",
        machine.name,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        "q35",
        "-accel",
        accel,
        "-cpu",
        cpu,
        "-smp",
        "1",
        "-m",
        str(SERVICES_MEMORY_MIB if machine.image.startswith(SERVICES_PREFIX) else MEMORY_MIB),
        "-kernel",
        str(image / "vmlinuz"),
        "-initrd",
        str(image / "initrd.img"),
        "-append",
        KERNEL_ARGUMENTS.format(lsm=LSMS[machine.lsm]),
        "-drive",
        f"file={folder}/disk.qcow2,format=qcow2,if=virtio,cache=unsafe",
        "-netdev",
        f"user,id=net0,hostfwd=tcp:127.0.0.1:{machine.port}-:22",
        "-device",
        "virtio-net-pci,netdev=net0,romfile=",
        "-device",
        "virtio-rng-pci",
        "-serial",
        f"file:{folder}/console.log",
        "-qmp",
        "unix:monitor.sock,server=on,wait=off",
        "-pidfile",
        f"{folder}/qemu.pid",
        "-daemonize",
        *(["-loadvm", snapshot] if snapshot else []),
    ]


def qemu_version() -> str:
    """Return the first line of QEMU's version."""
    return output([QEMU, "--version"]).splitlines()[0]


def probe_accel(image: Path) -> str:
    """Return kvm if a guest kernel actually boots with it, else tcg; the existence of /dev/kvm is no proof."""
    answer = BUILD / f"accel-{digest([qemu_version(), os.uname().release, image.name])}"
    if answer.exists():
        return answer.read_text().strip()
    accel = "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) and kernel_starts(image) else "tcg"
    say(
        "KVM works"
        if accel == "kvm"
        else "KVM does not boot a guest here: using emulation, which is about ten times slower"
    )
    write_atomic(answer, accel + "\n")
    return accel


def kernel_starts(image: Path) -> bool:
    """Boot the kernel with KVM and without a root disk; return whether it ends in the panic about the missing disk."""
    argv = [
        QEMU,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        "q35",
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-m",
        "512",
        "-no-reboot",
        "-serial",
        "stdio",
        "-kernel",
        str(image / "vmlinuz"),
        "-append",
        "console=ttyS0 panic=-1 mitigations=off",
    ]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=20, stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired:
        return False
    return b"Unable to mount root fs" in done.stdout


def free_port() -> int:
    """Return a free port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def machines() -> list[Machine]:
    """Return all machines that have a folder, running or not."""
    found = []
    for path in sorted(BUILD.glob("machine-*/machine.json")):
        found.append(Machine(**json.loads(path.read_text())))
    return found


def pid_of(machine: Machine) -> int | None:
    """Return the process id of a machine's QEMU or of a node's systemd, or None if it has ended."""
    if native.is_node(machine.name):
        return native.pid_of(machine.folder)
    try:
        pid = int((machine.folder / "qemu.pid").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if f"{machine.folder}/qemu.pid".encode() in arguments else None


def start(name: str) -> Machine:
    """Start a node, or a machine from the snapshot of a booted one, which is made if it does not exist."""
    if native.is_node(name):
        return start_node(name)
    kind = kind_of(name)
    image = IMAGES[kind.image][1]()
    accel = probe_accel(image)
    virgin = ensure_snapshot(image, accel, kind.lsm)
    stop(name)
    machine = Machine(name, free_port(), image.name, accel, kind.lsm)
    try:
        prepare_folder(machine)
        shutil.copyfile(virgin / "disk.qcow2", machine.folder / "disk.qcow2")
        launch(machine, image, SNAPSHOT)
    except BaseException:
        stop(name)
        raise
    return machine


def start_node(name: str) -> Machine:
    """Start a node in place of the one of the same name."""
    machine = Machine(name=name, port=0, image=native.suite_of(name), accel="namespaces")
    stop(name)
    try:
        prepare_folder(machine)
        native.start(name, machine.folder)
    except BaseException:
        stop(name)
        raise
    write_access()
    return machine


def prepare_folder(machine: Machine) -> None:
    """Make the machine's folder and record the machine in it."""
    machine.folder.mkdir(parents=True)
    write_atomic(machine.folder / "machine.json", json.dumps(asdict(machine)))


def launch(machine: Machine, image: Path, snapshot: str | None) -> None:
    """Start QEMU, and wait until the machine is ready."""
    how = "resuming from the snapshot" if snapshot else "booting"
    say(f"{machine.name}: {how} ({machine.accel}, port {machine.port})")
    done = subprocess.run(
        qemu_argv(machine, image, snapshot), cwd=machine.folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"{machine.name}: {QEMU} failed with exit status {done.returncode}: {done.stderr.strip()}")
    write_access()
    wait_until_ready(machine)


def wait_until_ready(machine: Machine) -> None:
    """Wait until ssh works, and set the machine's time and name."""
    wait_for_ssh(machine)
    ssh(machine, f"date -u -s @{int(time.time()) + 1}; echo {machine.name} > /etc/hostname; hostname {machine.name}")
    say(f"{machine.name}: ready")


def reset(name: str) -> None:
    """Reset a machine as its button does, and wait until it has booted again from the same disk.

    What the guest has not written to its disk by then is lost, as with the power: its page cache. What it has written
    stays, flushed or not, since QEMU goes on (cache=unsafe). So a missing fsync shows, a missing flush of the kernel
    does not. A kill of QEMU would be no better: the tables of the qcow2 file that QEMU has in memory would be lost.
    """
    machine = next((one for one in machines() if one.name == name), None)
    if machine is None or native.is_node(name) or pid_of(machine) is None:
        raise LabError(f"Cannot reset {name!r}: it is no machine that runs. Start it with lab.py up {name}.")
    say(f"{name}: reset")
    monitor(machine, "system_reset")
    # The connection that is shared ended with the machine.
    subprocess.run(["ssh", "-F", str(BUILD / "ssh_config"), "-O", "exit", name], capture_output=True, check=False)
    wait_until_ready(machine)


def wait_for_ssh(machine: Machine) -> None:
    """Wait for the greeting of sshd; fail at once if QEMU has ended or the kernel has panicked."""
    console = machine.folder / "console.log"
    until = time.monotonic() + BOOT_SECONDS
    reported = time.monotonic()
    while not greets(machine.port):
        text = console.read_text(errors="replace") if console.exists() else ""
        if pid_of(machine) is None or "Kernel panic" in text:
            raise LabError(
                f"{machine.name}: the machine ended while it booted. See {console}; it ends with:\n{text[-1500:]}"
            )
        if time.monotonic() > until:
            raise LabError(f"{machine.name}: no answer from ssh within {BOOT_SECONDS} s. See {console}.")
        if time.monotonic() - reported > 10:
            reported = time.monotonic()
            say(f"  ... {machine.name}: waiting for ssh")
        time.sleep(0.2)


def greets(port: int) -> bool:
    """Return whether sshd sends its greeting; QEMU accepts connections long before sshd listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def ssh(machine: Machine, command: str) -> str:
    """Run a command on a machine; return its output."""
    return output(["ssh", "-F", str(BUILD / "ssh_config"), machine.name, command])


def ensure_snapshot(image: Path, accel: str, lsm: str) -> Path:
    """Return the folder with the snapshot of a machine that has just booted; make it if it does not exist."""
    any_machine = Machine("x", 1, image.name, accel, lsm)
    key = digest([image.name, " ".join(qemu_argv(any_machine, Path("x"))), qemu_version()])
    final = BUILD / f"virgin-{key}"
    if final.exists():
        return final
    tidy()
    stop(SNAPSHOT)
    machine = Machine(SNAPSHOT, free_port(), image.name, accel, lsm)
    prepare_folder(machine)
    overlay = str(machine.folder / "disk.qcow2")
    output(["qemu-img", "create", "-q", "-f", "qcow2", "-b", f"../{image.name}/disk.raw", "-F", "raw", overlay])
    try:
        launch(machine, image, None)
        state = ssh(
            machine,
            "systemctl is-system-running --wait || systemctl --failed --no-legend; cat /sys/kernel/security/lsm",
        )
        say(f"{SNAPSHOT}: {', '.join(state.split())}")
        ssh(machine, "sync; echo 1 > /proc/sys/vm/drop_caches")
        say("saving the snapshot")
        monitor(machine, "stop", "savevm " + SNAPSHOT, "quit")
        wait_gone(machine)
        part = BUILD / "virgin.part"
        remove_tree(part)
        part.mkdir()
        os.replace(overlay, part / "disk.qcow2")
        os.replace(part, final)
    finally:
        stop(SNAPSHOT)
    return final


def monitor(machine: Machine, *commands: str) -> None:
    """Send commands to QEMU's monitor."""
    # The path of the socket may be too long for an address; the path through a descriptor of its folder never is.
    descriptor = os.open(machine.folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{descriptor}/monitor.sock")
            stream = connection.makefile("rw")
            stream.readline()
            for message in ({"execute": "qmp_capabilities"}, *(human(command) for command in commands)):
                stream.write(json.dumps(message) + "\n")
                stream.flush()
                answer = next(line for line in map(json.loads, stream) if "event" not in line)
                if "error" in answer or answer.get("return"):
                    raise LabError(f"{machine.name}: QEMU's monitor returned an error: {answer}")
    except StopIteration:
        pass  # QEMU quits before it answers
    finally:
        os.close(descriptor)


def human(command: str) -> dict[str, object]:
    """Wrap a command of the human monitor for QMP."""
    return {"execute": "human-monitor-command", "arguments": {"command-line": command}}


def wait_gone(machine: Machine) -> None:
    """Wait until QEMU has ended; kill it after 20 seconds."""
    pid = pid_of(machine)
    until = time.monotonic() + 20
    while pid_of(machine) is not None:
        if pid and time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def stop(name: str) -> bool:
    """Remove a machine and its disk; return whether it existed."""
    folder = folder_of(name)
    if not folder.exists():
        return False
    machine = Machine(name=name, port=0, image="", accel="")
    pid = pid_of(machine)
    if pid is not None:
        subprocess.run(["ssh", "-F", str(BUILD / "ssh_config"), "-O", "exit", name], capture_output=True, check=False)
    if native.is_node(name):
        native.stop(folder)
    elif pid is not None:
        os.kill(pid, signal.SIGTERM)
        wait_gone(machine)
    remove_tree(folder)
    write_access()
    return True


def control_path(mark: str) -> str | None:
    """Return the path of ssh's shared connections, or None if it would be too long for a socket."""
    path = f"{BUILD}/ssh-{mark}"
    return path if len(path) < 80 else None


def ssh_options(mark: str = "%p") -> dict[str, str]:
    """Return the ssh options for the lab's machines: fast, and without traces in the user's own files."""
    options = {
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "LogLevel": "ERROR",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": "60",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "20",
        "Compression": "no",
    }
    path = control_path(mark)
    return {**options, **({"ControlMaster": "auto", "ControlPersist": "600", "ControlPath": path} if path else {})}


def proxy_command(name: str) -> str:
    """Return the command by which ssh reaches a node."""
    return shlex.join(native.script_argv("session", folder_of(name)))


def render_ssh_config(found: list[Machine], key: Path) -> str:
    """Return an ssh configuration with the machines by name."""

    def block(one: Machine) -> str:
        if native.is_node(one.name):
            lines = {"ProxyCommand": proxy_command(one.name), **ssh_options(one.name)}
        else:
            lines = {"HostName": "127.0.0.1", "Port": str(one.port), **ssh_options()}
        lines = {"User": "root", "IdentityFile": str(key), **lines}
        return f"Host {one.name}\n" + "".join(f"  {name} {value}\n" for name, value in lines.items())

    return "".join(block(one) for one in found)


def render_inventory(found: list[Machine], key: Path) -> str:
    """Return an Ansible inventory of the machines, in JSON, which is YAML as well."""
    arguments = " ".join(f"-o {name}={value}" for name, value in ssh_options().items())
    hosts: dict[str, dict[str, str | int]] = {
        one.name: {"ansible_ssh_common_args": f"-F {shlex.quote(str(BUILD / 'ssh_config'))}"}
        if native.is_node(one.name)
        else {"ansible_host": "127.0.0.1", "ansible_port": one.port}
        for one in found
    }
    variables = {
        "ansible_user": "root",
        # The machines have no sudo; root becomes another user with su.
        "ansible_become_method": "su",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": arguments,
        "ansible_ssh_args": "",
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return json.dumps({"all": {"children": {"lab": {"hosts": hosts, "vars": variables}}}}, indent=2) + "\n"


def write_access() -> None:
    """Write the inventory and the ssh configuration of the running machines."""
    found = [machine for machine in machines() if pid_of(machine) is not None]
    write_atomic(BUILD / "ssh_config", render_ssh_config(found, ssh_key()))
    named = [machine for machine in found if machine.name != SNAPSHOT]
    write_atomic(BUILD / "inventory.yml", render_inventory(named, ssh_key()))
    for path in BUILD.glob("inventory-*.yml"):
        if not set(path.stem.partition("-")[2].split(",")) <= {machine.name for machine in named}:
            path.unlink()


def write_group(names: list[str]) -> None:
    """Write inventory-NAME,NAME.yml with only these machines, for a scenario that runs in parallel with others."""
    found = [machine for machine in machines() if machine.name in names]
    write_atomic(BUILD / f"inventory-{','.join(names)}.yml", render_inventory(found, ssh_key()))


def tidy() -> None:
    """Remove images and snapshots of older sources that no machine uses."""
    images = {folder().name for folder, dummy in IMAGES.values()}
    keep = images | {machine.image for machine in machines()}
    for path in BUILD.glob("virgin-*"):
        head = (path / "disk.qcow2").open("rb").read(4096)
        if any(f"../{name}/".encode() in head for name in images):
            keep.add(path.name)
    remove_old(keep)
