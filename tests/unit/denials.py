# SPDX-License-Identifier: GPL-3.0-or-later
"""Provides recorded denials, and a loaded policy that returns the recorded answers of a real one."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from ansible_collections.criu.hosts.plugins.module_utils._denials.sources import AUDIT_LOG
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy

FIXTURES = Path(__file__).parent / "fixtures"
CORPUS = FIXTURES / "audit"
# A record of the journal without time and host gets them in the form that the module requests from journalctl.
PREFIX = b"1795384456.390184 host audit[1]: "
RECORDED = json.loads((FIXTURES / "selinux/20250213-policy34-access.json").read_text(encoding="utf-8"))


def lines(name: str) -> list[bytes]:
    """Returns the records of a recorded file, each in a form that a host has."""
    found = []
    for line in (CORPUS / name).read_bytes().splitlines():
        if line.startswith(b"#"):
            continue
        place = line.find(b": AVC avc:")
        short = place != -1 and not line.startswith(b"type=")
        found.append(PREFIX + line[place + 2 :] if short else PREFIX + line if line.startswith(b"AVC avc:") else line)
    return found


def soon(record: bytes) -> bytes:
    """Returns a record of the audit log with the time of the test run."""
    return re.sub(rb"audit\([0-9.]+", b"audit(%.3f" % (time.time() + 60), record)


def enforcing_host(folder: Path, audit: bytes) -> None:
    """Writes the files that a failure reads, into the folder that represents a host with SELinux enforcing."""
    for path, content in (("sys/fs/selinux/enforce", b"1"), ("proc/stat", b"btime 1\n"), (AUDIT_LOG[1:], audit)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def corpus() -> list[str]:
    """Returns the files of recorded denials."""
    return sorted(path.name for path in CORPUS.glob("*-*.txt"))


def answer(dummy_path: str, request: bytes) -> bytes:
    """Returns the recorded policy's answer; it refuses a question with a context that it does not know."""
    said = RECORDED["answers"].get(request.decode())
    if said is None:
        raise OSError(22, "Invalid argument")
    return str(said).encode()


def selinuxfs(folder: Path, booleans: dict[str, bool] | None = None) -> Path:
    """Writes the files of selinuxfs that are read: classes and booleans of the recorded policy."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "access").touch()
    (folder / "enforce").write_text("1")
    for name, described in RECORDED["classes"].items():
        (folder / "class" / name / "perms").mkdir(parents=True)
        (folder / "class" / name / "index").write_text(str(described["index"]))
        for permission, bit in described["perms"].items():
            (folder / "class" / name / "perms" / permission).write_text(str(bit))
    (folder / "booleans").mkdir()
    for name, value in (booleans or {}).items():
        (folder / "booleans" / name).write_text(f"{int(value)} {int(value)}")
    return folder


def loaded(folder: Path, booleans: dict[str, bool] | None = None) -> LoadedPolicy:
    """The recorded policy as a loaded one."""
    return LoadedPolicy(str(selinuxfs(folder / "selinuxfs", booleans)), answer)
