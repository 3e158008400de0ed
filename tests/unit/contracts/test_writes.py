# SPDX-License-Identifier: GPL-3.0-or-later
"""The finder of what writes, which the contract tests ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.tests.unit.contracts.source_tree import SourceTree
from ansible_collections.criu.hosts.tests.unit.contracts.writes import PROGRAM, writes


def found(folder: Path, text: str) -> set[str]:
    path = folder / "file.py"
    path.write_text(text, encoding="utf-8")
    return {name for dummy_line, name in writes(SourceTree(folder, "ns.col"), path)}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import os\nos.replace(a, b)", "os.replace"),
        ("import os as o\no.remove(a)", "os.remove"),
        ("import os.path\nos.unlink(a)", "os.unlink"),
        ("from os import rename\nrename(a, b)", "os.rename"),
        ("from os import rename as move\nmove(a, b)", "os.rename"),
        ("def f():\n    from os import kill\n    kill(1, 9)", "os.kill"),
        ("import os\nf(key=os.rmdir)", "os.rmdir"),
        ("import os\nos.open(a, os.O_RDONLY | os.O_CREAT)", "os.O_CREAT"),
        ("import os\nflags = os.O_RDWR", "os.O_RDWR"),
        ("import os\nos.open(a, flags)", "os.open"),
        ("import os\nos.open(a, 1)", "os.open"),
        ("import os\nos.open(a, flags=flags)", "os.open"),
        ("from os import *", "os.*"),
        ("import os\ngetattr(os, name)(a)", "getattr(os)"),
        ("import shutil\nshutil.rmtree(a)", "shutil.rmtree"),
        ("from shutil import copytree", None),
        ("from shutil import copytree as c\nc(a, b)", "shutil.copytree"),
        ("import tempfile\ntempfile.mkdtemp()", "tempfile.mkdtemp"),
        ("import subprocess\nsubprocess.run(a)", "subprocess.run"),
        ("from subprocess import Popen\nPopen(a)", "subprocess.Popen"),
        ("import signal\nsignal.pthread_kill(a, b)", "signal.pthread_kill"),
        ("open(a, 'w')", "open"),
        ("open(a, mode='ab')", "open"),
        ("open(a, 'r+')", "open"),
        ("open(a, 'x')", "open"),
        ("open(a, mode)", "open"),
        ("import io\nio.open(a, 'w')", "io.open"),
        ("import os\nos.fdopen(a, 'wb')", "os.fdopen"),
        ("import tarfile\ntarfile.open(a, 'w:gz')", "tarfile.open"),
        ("from zipfile import ZipFile\nZipFile(a, 'w')", "zipfile.ZipFile"),
        ("from pathlib import Path\nPath(a).open('w')", ".open"),
        ("Path(a).write_text(b)", ".write_text"),
        ("path.parent.mkdir()", ".mkdir"),
        ("path.unlink()", ".unlink"),
        ("path.replace(target)", ".replace"),
        ("remove = path.touch", ".touch"),
        ("text = '''import os\nos.kill(1, 9)\n'''", PROGRAM),
    ],
)
def test_what_writes_is_found(tmp_path: Path, text: str, name: str | None) -> None:
    assert (name in found(tmp_path, text)) if name else not found(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.path.exists(a)\nos.listdir(a)\nos.stat(a)",
        "import os\nos.open(a, os.O_RDONLY | os.O_DIRECTORY)",
        "import os\nos.fdopen(os.open(a, os.O_RDONLY))",
        "import shutil\nshutil.which(a)",
        "open(a)\nopen(a, 'rb')\nopen(a, encoding='utf-8')",
        "import tarfile\ntarfile.open(a)\ntarfile.open(a, 'r:gz')",
        "'a'.replace('b', 'c')",
        "import dataclasses\ndataclasses.replace(a, b=1)",
        "from dataclasses import replace\nreplace(a)",
        "moment.replace(tzinfo=None)",
        "import signal\nsignal.signal(signal.SIGTERM, f)",
        "import subprocess\nsubprocess.PIPE",
        "plan = Remove(path)\nrename = 1\nunlink = rename",
        "'''Please import a certificate.'''",
    ],
)
def test_what_only_reads_is_not(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == set()
