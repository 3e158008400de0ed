# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs playbooks on hosts that are all this machine.

A play takes seconds to start, and each host in it a fraction of one for each task, so the cases of a test share a play:
each is a host with its own variables and, in the environment of its modules, its own state.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from ansible_collections.criu.hosts.tests.unit.loaded_python import loaded_python

ROOT = Path(__file__).resolve().parents[2]
RESULT = re.compile(r"^(?:ok|changed|skipping|failed|fatal|included): (?:\[([^\]\s]+)(?: -> [^\]]+)?\]|.* for (.+)$)")
RECAP = re.compile(r"^(\S+) +: (ok=.*)$")


@dataclass(frozen=True)
class Played:
    """A play that has ended: its exit status and its output; ``of`` takes the part about one host from it."""

    returncode: int
    stdout: str
    stderr: str

    def of(self, host: str) -> Shown:
        """The results of one host. A play without that host is an error."""
        lines, counts, task, about = [], dict[str, int](), "", False
        for line in self.stdout.splitlines():
            result, recap = RESULT.match(line), RECAP.match(line)
            if line.startswith(("TASK [", "PLAY ", "RUNNING HANDLER ")):
                task, about = line, False
            elif result:
                about = host in (result.group(1) or result.group(2)).split(", ")
                lines += [task] if about else []
            elif line.startswith(("[ERROR]", "[WARNING]")):
                about = False  # ansible-core 2.19 prints an error beforehand, without the host
            elif recap and recap.group(1) == host:
                counts = {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", recap.group(2))}
            lines += [line] if about else []
        assert counts, self.stdout + self.stderr
        return Shown("\n".join(lines), counts)


@dataclass(frozen=True)
class Shown:
    """What a play prints about one host: the results of its tasks below their names, and the numbers of the recap."""

    output: str
    counts: Mapping[str, int]

    @property
    def text(self) -> str:
        """The output in one line."""
        return " ".join(self.output.split())

    @property
    def failed(self) -> bool:
        return self.counts["failed"] > 0

    @property
    def tasks(self) -> list[str]:
        """The tasks that ran."""
        parts = re.split(r"^TASK \[(.*?)\] \**$", self.output, flags=re.MULTILINE)
        return [
            name for name, text in zip(parts[1::2], parts[2::2]) if re.search(r"^(ok|changed|included)", text, re.M)
        ]


def host(state: Path, **variables: Any) -> dict[str, Any]:
    """Returns the variables of a host whose stand-ins find its state in a file."""
    return {"ansible_python_interpreter": loaded_python(STAND_IN=str(state)), **variables}


def play(
    folder: Path, hosts: Mapping[str, dict[str, Any]], *arguments: str, collections: Path | None = None, **env: str
) -> Played:
    """Runs ansible-playbook.

    Args:
        folder: where it runs; programs in its folder ``bin`` come first.
        hosts: the variables of each host.
        arguments: options and playbooks.
        collections: the folder with the collections, if it is a different one.
        env: variables for its environment.
    """
    common = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": loaded_python()}
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": dict(hosts), "vars": common}}), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections or folder),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "PWD": str(folder),
        "TMPDIR": str(folder),
        **env,
    }
    # A program of a test can kill the play by the process group in PLAY.
    argv = ["/bin/sh", "-c", 'PLAY=$$ exec "$@"', "sh", sys.executable, "-m", "ansible", "playbook"]
    argv += ["-i", str(inventory), *arguments]
    done = subprocess.run(
        argv,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    return Played(done.returncode, done.stdout, done.stderr)
