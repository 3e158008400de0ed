# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs plays on the nodes, and reads what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "extensions/molecule/lab/lab.py"
BUILD = ROOT / ".build/lab"
HERE = Path(__file__).parent / "plain_hosts"
SOURCE = "/var/lib/lab/criu.orig.tar.xz"
RECAP = re.compile(r"^(\S+) +: ((?:\w+=\d+ *)+)$", re.MULTILINE)
FATAL = re.compile(r'^fatal: \[(\S+?)(?: -> \S+)?\]: \w+! => .*?"msg": "((?:[^"\\]|\\.)*)"', re.MULTILINE)


@dataclass(frozen=True)
class Played:
    """A play that has ended."""

    rc: int
    output: str

    @property
    def text(self) -> str:
        """The output without its line breaks."""
        return " ".join(self.output.split())

    def count(self, host: str, key: str) -> int:
        """Return a number of the recap of a host: ok, changed, unreachable, failed."""
        return counts(self.output)[host][key]

    def refusal(self, host: str) -> str:
        """Return the message with which the play ended on a host, which must be a single one."""
        found = [message for name, message in FATAL.findall(self.output) if name == host]
        assert len(found) == 1, self.output[-6000:]
        return str(found[0])


def counts(output: str) -> dict[str, dict[str, int]]:
    """Return the numbers of each host in the recap at the end of a play."""
    return {
        name: {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", numbers)}
        for name, numbers in RECAP.findall(output)
    }


def is_sentence(message: str) -> bool:
    """Return whether a refusal is one line of text for the operator, and not an error of a template or a module."""
    bad = ("\\n", "Traceback", "undefined", "has no attribute", "object of type")
    return message.endswith(".") and not any(word in message for word in bad)


def play_argv(playbook: str, hosts: str, *arguments: str, **variables: str) -> list[str]:
    """Return the command that runs a playbook on nodes."""
    argv = ["ansible-playbook", "-i", str(BUILD / "inventory.yml"), "-l", hosts, playbook, *arguments]
    return argv + [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]


def play_environment() -> dict[str, str]:
    """Return the environment of a play without colors, whose output can be read."""
    return {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_DISPLAY_OK_HOSTS": "true"}


def play(playbook: str, hosts: str, *arguments: str, **variables: str) -> Played:
    """Run a playbook on nodes."""
    argv = play_argv(playbook, hosts, *arguments, **variables)
    done = subprocess.run(argv, env=play_environment(), capture_output=True, text=True, check=False)
    return Played(done.returncode, done.stdout + done.stderr)


def lab(action: str, *names: str) -> None:
    """Start or remove nodes."""
    done = subprocess.run([sys.executable, str(LAB), action, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def fetch_artifact(host: Any, folder: Path) -> Path:
    """Copy the artifact that a host has built to the controller."""
    path = folder / "criu.tar.gz"
    path.write_bytes(host.file("/var/lib/criu-hosts/criu.tar.gz").content)
    return path
