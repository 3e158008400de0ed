# SPDX-License-Identifier: GPL-3.0-or-later
"""Run disposable virtual machines with SELinux enforcing (the names in kinds.py: others), made from Debian packages.

lab.py deps            install the packages that the lab needs (as root on Debian), or list the missing ones
lab.py image           make the disk image and the snapshot of its first boot, unless they exist
lab.py artifact [NAME...]
                       build CRIU for these machines (Debian 13 if there is no name) unless it exists, and print the
                       path of each artifact
lab.py node SUITE      make the root file system and the CRIU of a node, a host for namespaces (bookworm)
lab.py up NAME...      start machines, or nodes: node-bookworm, node-trixie, or one of them with -WORD; write
                       .build/lab/ssh_config, inventory.yml (all) and inventory-NAME,NAME.yml
lab.py reset NAME      reset a machine, which loses what is not on its disk, and wait until it has booted again
lab.py down [NAME...]  remove machines (all if no name is given)
lab.py status          list the machines
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import artifact
import image
import machine
import native
import node
import services_image
from base import BUILD, LabError, lock, say
from kinds import kind_of

# Debian package -> the program, file or Python module whose presence shows that it is installed
NEEDS = {
    "mmdebstrap": "mmdebstrap",
    "qemu-system-x86": "qemu-system-x86_64",
    "qemu-utils": "qemu-img",
    "e2fsprogs": "mke2fs",
    "mount": "mount",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "zstd": "zstd",
    "openssh-client": "ssh",
    "age": "age",
    "gnupg": "gpg",
    "python3-venv": "ensurepip",
}
# The browser for the tests of web applications; installed when the first machine with the services image is started
SERVICES_NEEDS = {"chromium": "chromium", "chromium-driver": "chromedriver"}

# Connects nodes with the network; installed when the first one is started
NODE_NEEDS = {
    **{name: NEEDS[name] for name in ("mmdebstrap", "mount", "debian-archive-keyring", "openssh-client")},
    "slirp4netns": "slirp4netns",
}


def missing_packages(needs: dict[str, str]) -> list[str]:
    """Return the Debian packages that are not installed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

    def there(sign: str) -> bool:
        if sign == "ensurepip":
            return importlib.util.find_spec(sign) is not None
        return Path(sign).exists() if sign.startswith("/") else shutil.which(sign, path=path) is not None

    return [package for package, sign in needs.items() if not there(sign)]


def is_debian() -> bool:
    """Return whether this is Debian, whose package names NEEDS lists."""
    try:
        return re.search(r"^ID=debian$", Path("/etc/os-release").read_text(), re.MULTILINE) is not None
    except OSError:
        return False


def deps(needs: dict[str, str]) -> None:
    """Install the missing packages, or fail with the command that installs them."""
    missing = missing_packages(needs)
    if not missing:
        say("all packages that the lab needs are installed")
        return
    if os.geteuid() or not is_debian():
        names = " ".join(missing)
        raise LabError(f"Cannot run machines: missing {names}. On Debian 12 or 13, run: sudo apt-get install {names}")
    say(f"installing {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing]):
        if subprocess.run(argv, env=environment, stdout=sys.stderr, check=False).returncode:
            raise LabError(f"{' '.join(argv)} failed. See the output above.")


def up(names: list[str]) -> None:
    """Start machines one after the other."""
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name == machine.SNAPSHOT:
            raise LabError(f"Cannot start {name!r}: invalid name. Use lower-case letters, digits and dashes.")
        machine.start(name)
    machine.write_group(names)
    machine.tidy()
    print(f"To use it: ssh -F {BUILD}/ssh_config {names[0]}, or ansible-playbook -i {BUILD}/inventory.yml PLAYBOOK")


def down(names: list[str]) -> None:
    """Remove machines."""
    for name in names or [one.name for one in machine.machines()]:
        print(f"{name}: {'removed' if machine.stop(name) else 'does not exist'}")


def status() -> None:
    """List the machines."""
    for one in machine.machines():
        state = "running" if machine.pid_of(one) else "not running"
        print(f"{one.name} {state} {one.accel} port={one.port} {one.image}")


def stopped(number: int, frame: object) -> None:
    """End the program as Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    """Read the command line and run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("deps", "image", "status"):
        commands.add_parser(name)
    commands.add_parser("node").add_argument("suite", choices=node.PACKAGES)
    commands.add_parser("artifact").add_argument("names", nargs="*")
    commands.add_parser("reset").add_argument("name")
    commands.add_parser("up").add_argument("names", nargs="+")
    commands.add_parser("down").add_argument("names", nargs="*")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopped)  # so that every "finally" block runs
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        if arguments.command == "deps":
            deps(NEEDS)
        elif arguments.command == "status":
            status()
        elif arguments.command == "reset":
            machine.reset(arguments.name)  # without the lock: it has to be at once
        elif arguments.command == "artifact":
            with lock("artifact.lock"):
                for suite in sorted({kind_of(name).suite for name in arguments.names or [""]}):
                    print(artifact.ensure_artifact(suite))
        elif arguments.command == "node":
            # Machines wait for the first lock, so that nothing is compiled under it.
            with lock("artifact.lock"):
                artifact.ensure_artifact(arguments.suite)
            with lock():
                print(node.ensure_node(arguments.suite))
        else:
            if arguments.command == "up" and "services" in {kind_of(name).image for name in arguments.names}:
                prepare_services()
            if arguments.command == "up":
                prepare_nodes([name for name in arguments.names if native.is_node(name)])
            with lock():
                change(arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130
    return 0


def prepare_services() -> None:
    """Make the services image before the lock is taken that machines with the base image wait for."""
    deps(SERVICES_NEEDS)
    with lock():
        image.ensure_image()
    with lock("services.lock"):
        services_image.ensure_services_image()


def prepare_nodes(names: list[str]) -> None:
    """Make the root file systems of nodes before the lock is taken that machines wait for."""
    if names and (why := native.why_not()):
        raise LabError(f"Cannot start {' '.join(names)}: {why}.")
    if names:
        deps(NODE_NEEDS)
    for suite in sorted({native.suite_of(name) for name in names}):
        with lock("nodes.lock"):
            artifact.ensure_source(native.ensure_root(suite))


def change(arguments: argparse.Namespace) -> None:
    """Run a command that changes the build folder."""
    if arguments.command == "image":
        made = image.ensure_image()
        machine.ensure_snapshot(made, machine.probe_accel(made), kind_of("").lsm)
        machine.tidy()
        print(made)
    elif arguments.command == "up":
        up(arguments.names)
    elif arguments.command == "down":
        down(arguments.names)


if __name__ == "__main__":
    sys.exit(main())
