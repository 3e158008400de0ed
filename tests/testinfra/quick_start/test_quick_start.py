# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick start of README.md, word by word, on a host without the collection.

The files and the commands are those of README.md; nothing is added to a command line. The surroundings differ from a
reader's in four ways:

- ssh finds the inventory's host at the lab's machine (ANSIBLE_SSH_COMMON_ARGS).
- The collection is not taken from a Galaxy server: its archive, built from this checkout, is installed beforehand, so
  ``ansible-galaxy`` finds that there is nothing left to do. The collections that it needs come from .build.
- The machine has no registry. An image made from Debian packages, with Python, has the name of the image of README.md.
- Under emulation, compiling CRIU takes too long: the artifact of the lab, which the playbook build_criu has made in a
  chroot, is given in group_vars. With KVM, or with CRIU_HOSTS_BUILD=1, the host compiles it as README.md says.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from readme_blocks import Command, QuickStart, missing_lines, parse_quick_start

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / ".build"
LAB = BUILD / "lab"
QUICK_START = parse_quick_start((ROOT / "README.md").read_text(encoding="utf-8"))
NUMBERS = range(len(QUICK_START.commands))


@dataclass(frozen=True)
class Done:
    """A command that was run; ``disk_mib`` is what it added to the root file system of the host."""

    line: str
    rc: int
    output: str
    seconds: float
    disk_mib: int


def ssh_config(text: str, machine: str, name: str) -> str:
    """Return an ssh configuration in which a machine has one more name."""
    changed, count = re.subn(rf"^Host {re.escape(machine)}$", rf"Host {machine} {name}", text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"{machine} is {count} times in the ssh configuration")
    return changed


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of the commands, without the settings of Molecule, which apply to this test only."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_", "PY"))}
    return {
        **ours,
        "ANSIBLE_COLLECTIONS_PATH": f"{folder / 'collections'}:{BUILD / 'collections'}",
        "ANSIBLE_HOME": str(BUILD / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        # The lab's ssh configuration has a path for the shared connection that is short enough for a socket.
        "ANSIBLE_SSH_ARGS": "",
        "ANSIBLE_SSH_COMMON_ARGS": f"-F {folder / 'ssh_config'}",
        "ANSIBLE_TIMEOUT": "60",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{ours['PATH']}",
    }


def installed(folder: Path) -> None:
    """Build the collection and install the archive, as `make build` does."""
    galaxy = [str(Path(sys.executable).with_name("ansible-galaxy")), "collection"]
    options = ["--offline", "--no-deps", "--force"]
    for argv in (
        [*galaxy, "build", "--force", "--output-path", str(folder / "dist")],
        [*galaxy, "install", *options, "-p", str(folder / "collections"), "ARCHIVE"],
    ):
        words = [str(next((folder / "dist").glob("*.tar.gz"))) if word == "ARCHIVE" else word for word in argv]
        done = subprocess.run(words, env=environment(folder), cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def builds_on_the_host(machine: str) -> bool:
    """Return whether the host compiles CRIU: with KVM, or if CRIU_HOSTS_BUILD is 1; never if it is 0."""
    described = LAB / f"machine-{machine}/machine.json"
    accel = json.loads(described.read_text(encoding="utf-8"))["accel"] if described.exists() else "kvm"
    return os.environ.get("CRIU_HOSTS_BUILD", "1" if accel == "kvm" else "0") == "1"


def the_only_host(quick_start: QuickStart) -> str:
    """Return the host of the inventory; there has to be exactly one, as there is one machine."""
    (name,) = yaml.safe_load(quick_start.files["inventory.yml"])["all"]["hosts"]
    return str(name)


def give_image(host: Any, name: str) -> None:
    """Give the image of the lab the name of the image of README.md."""
    if host.run("podman image exists lab-virgin").rc:
        host.check_output("modprobe overlay")
        host.check_output("podman import /var/lib/lab/workload.tar lab-virgin")
    host.check_output("podman tag lab-virgin %s", name)


def used_mib(host: Any) -> int:
    """Return how much of the root file system is in use."""
    return int(host.check_output("df --output=used -B1M / | tail -n 1"))


def run(host: Any, command: Command, folder: Path) -> Done:
    """Run a command of README.md in the folder of its files, as a shell does."""
    before, began = used_mib(host), time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command.line],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Done(command.line, done.returncode, done.stdout, time.monotonic() - began, used_mib(host) - before)


@pytest.fixture(scope="module")
def done(host: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Done]:
    """The commands up to the first one that failed."""
    folder = tmp_path_factory.mktemp("quick-start")
    machine = host.backend.get_hostname()
    for name, content in QUICK_START.files.items():
        (folder / name).write_text(content, encoding="utf-8")
    text = (LAB / "ssh_config").read_text(encoding="utf-8")
    (folder / "ssh_config").write_text(ssh_config(text, machine, the_only_host(QUICK_START)), encoding="utf-8")
    if not builds_on_the_host(machine):
        (folder / "group_vars").mkdir()
        artifact = json.dumps({"criu_artifact": str(LAB / "criu-artifact.tar.gz")})
        (folder / "group_vars/all.yml").write_text(artifact, encoding="utf-8")
    installed(folder)
    (play,) = yaml.safe_load(QUICK_START.files["site.yml"])
    give_image(host, play["vars"]["site_image"])
    results: list[Done] = []
    for command in QUICK_START.commands:
        results.append(run(host, command, folder))
        if results[-1].rc:
            break
    numbers = [{name: value for name, value in asdict(one).items() if name != "output"} for one in results]
    (BUILD / "results").mkdir(exist_ok=True)
    (BUILD / "results/quick_start_commands.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    return results


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: QUICK_START.commands[number].line)
def test_the_command_succeeds(done: list[Done], number: int) -> None:
    assert len(done) > number, f"not run, since this failed before: {done[-1].line}"
    if done[number].rc:
        fatal = max(done[number].output.find("fatal:"), 0)
        pytest.fail(f"{done[number].line}\n{done[number].output[fatal:][:6000]}", pytrace=False)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: QUICK_START.commands[number].line)
def test_the_command_prints_what_the_readme_shows(done: list[Done], number: int) -> None:
    assert len(done) > number
    assert missing_lines(QUICK_START.commands[number].shown, done[number].output) == []


@pytest.mark.parametrize("name", ["counter", "tally"])
def test_the_program_has_never_begun_again(done: list[Done], host: Any, name: str) -> None:
    assert done[-1].rc == 0
    numbers = [int(line) for line in host.check_output("podman logs %s", name).split()]
    assert len(numbers) > 2 and numbers[0] == 0
    assert numbers == sorted(set(numbers))


def test_the_service_runs_and_starts_at_boot(done: list[Done], host: Any) -> None:
    assert done[-1].rc == 0
    assert host.check_output("systemctl is-active tally.service") == "active"
    assert host.check_output("systemctl is-enabled tally.service") == "enabled"
