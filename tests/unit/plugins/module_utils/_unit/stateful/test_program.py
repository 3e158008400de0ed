# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of stateful units as one archive, run as systemd runs it: by Python alone, without Ansible."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.program import imported, sources
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import FAILED
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.program import FIRST, unit_program

SOURCE = """\
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._folder import data
from ansible_collections.criu.hosts.plugins.module_utils._folder.one import (
    a,
    b as c,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._types import y

    Z = 1


def late() -> None:
    from ansible_collections.criu.hosts.plugins.module_utils._two import z
"""


def test_what_a_file_imports_when_it_runs() -> None:
    assert sorted(imported(SOURCE)) == [("_folder", ("data",)), ("_folder.one", ("a", "b")), ("_two", ("z",))]


def test_the_same_files_make_the_same_bytes() -> None:
    assert unit_program() == unit_program()


def test_nothing_of_ansible_is_packed() -> None:
    with zipfile.ZipFile(io.BytesIO(unit_program())) as archive:
        names = archive.namelist()
        texts = [archive.read(name).decode() for name in names]
    assert "__main__.py" in names and len(names) > 30
    assert not any(name.endswith(("_core/module.py", "_core/program.py")) for name in names)
    assert {
        f"ansible_collections/criu/hosts/plugins/module_utils/{name.replace('.', '/')}.py" for name in sources(FIRST)
    } <= set(names)
    assert not any(
        line.startswith(("import ansible.", "from ansible.")) for text in texts for line in text.splitlines()
    )


def test_every_file_can_be_imported_from_the_archive_alone(tmp_path: Path) -> None:
    path = tmp_path / "stateful_unit.pyz"
    path.write_bytes(unit_program())
    package = "ansible_collections.criu.hosts.plugins.module_utils"
    code = f"import importlib, sys; sys.path[:] = [{str(path)!r}, *sys.path]\n" + "".join(
        f"importlib.import_module('{package}.{name}')\n" for name in sources(FIRST)
    )
    completed = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stderr) == (0, "")


def test_python_runs_it_without_ansible(tmp_path: Path) -> None:
    path = tmp_path / "stateful_unit.pyz"
    path.write_bytes(unit_program())
    argv = [sys.executable, "-I", "-S", str(path), "again", "web"]
    completed = subprocess.run(argv, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert completed.returncode == 2
    assert completed.stderr == "<3>Usage: stateful_unit.pyz start|stop|stopped NAME\n"


def test_mistake_of_the_program_is_told_and_is_a_failure_for_systemd(tmp_path: Path) -> None:
    path = tmp_path / "stateful_unit.pyz"
    with zipfile.ZipFile(io.BytesIO(unit_program())) as packed, zipfile.ZipFile(path, "w") as broken:
        broken.writestr("__main__.py", packed.read("__main__.py"))
    completed = subprocess.run([sys.executable, "-IS", str(path), "start", "web"], capture_output=True, check=False)
    assert completed.returncode == FAILED
    assert b"ModuleNotFoundError" in completed.stderr


def test_nothing_is_loaded_to_see_that_nothing_is_to_be_cleaned_up(tmp_path: Path) -> None:
    path = tmp_path / "stateful_unit.pyz"
    path.write_bytes(unit_program())
    argv = [sys.executable, "-IS", "-v", str(path), "stopped", "web"]
    environment = {"SERVICE_RESULT": "success", "EXIT_STATUS": "143"}
    completed = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert completed.returncode == 0
    assert "ansible_collections" not in completed.stderr


def test_start_that_was_stopped_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "stateful_unit.pyz"
    with zipfile.ZipFile(io.BytesIO(unit_program())) as packed, zipfile.ZipFile(path, "w") as broken:
        broken.writestr("__main__.py", packed.read("__main__.py"))
    argv = [sys.executable, "-IS", str(path), "stopped", "web"]
    completed = subprocess.run(argv, env={"SERVICE_RESULT": "success"}, capture_output=True, check=False)
    assert completed.returncode == FAILED, "it loads the rest, which is missing here"


def test_journal_that_takes_nothing_changes_no_status(tmp_path: Path) -> None:
    path = tmp_path / "stateful_unit.pyz"
    path.write_bytes(unit_program())
    with open("/dev/full", "w", encoding="utf-8") as full:
        argv = [sys.executable, "-IS", str(path), "again", "web"]
        assert subprocess.run(argv, env={}, stderr=full, check=False).returncode == 2


def test_runner_gives_the_c_locale_and_keeps_systemds_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("LANGUAGE", "de")
    code = "import os; print(os.environ.get('NOTIFY_SOCKET'), os.environ['LANGUAGE'], os.environ['LC_ALL'])"
    completed = ProgramRunner().run([sys.executable, "-c", code])
    assert (completed.rc, completed.out) == (0, "None C C\n")


def test_runner_passes_input_status_and_error() -> None:
    code = "import sys; sys.stderr.write(sys.stdin.read()); sys.exit(3)"
    completed = ProgramRunner().run([sys.executable, "-c", code], stdin="asked")
    assert (completed.rc, completed.err, completed.last_line) == (3, "asked", "asked")


def test_runner_kills_all_of_what_does_not_end(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    child = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    completed = ProgramRunner(3.0).run([sys.executable, "-c", code])
    assert completed.rc == 124
    assert completed.last_line == "it did not end in 3 seconds"
    for dummy_try in range(100):
        if not _lives(pid):
            break
        time.sleep(0.1)
    assert pid.exists() and not _lives(pid)


def _lives(pid: Path) -> bool:
    try:
        state = Path(f"/proc/{pid.read_text()}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def test_runner_tells_what_is_not_installed() -> None:
    with pytest.raises(CheckpointError) as caught:
        ProgramRunner().run(["/nowhere/criu"])
    assert caught.value.reason == "tool_missing"
    assert ProgramRunner().which("/nowhere/criu") is None
