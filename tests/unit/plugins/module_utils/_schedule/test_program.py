# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the archive that the timers run: it needs Python alone."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.program import PACKAGE, sources
from ansible_collections.criu.hosts.plugins.module_utils._schedule.layout import FAILED
from ansible_collections.criu.hosts.plugins.module_utils._schedule.program import FIRST, schedule_program


@pytest.fixture(name="program")
def program_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.pyz"
    path.write_bytes(schedule_program())
    return path


def called(*argv: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-IS", *argv], env={}, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_every_file_can_be_imported_from_the_archive_alone(program: Path) -> None:
    code = f"import importlib, sys; sys.path[:] = [{str(program)!r}, *sys.path]\n" + "".join(
        f"importlib.import_module('{PACKAGE}.{name}')\n" for name in sources(FIRST)
    )
    assert called("-c", code) == (0, "")


def test_nothing_of_ansible_is_packed(program: Path) -> None:
    with zipfile.ZipFile(program) as archive:
        texts = [archive.read(name).decode() for name in archive.namelist()]
    assert len(texts) > 100
    assert not any(
        line.startswith(("import ansible.", "from ansible.")) for text in texts for line in text.splitlines()
    )


def test_the_same_files_make_the_same_bytes() -> None:
    assert schedule_program() == schedule_program()


@pytest.mark.parametrize("argv", [(), ("web", "db"), ("../web",), ("",)])
def test_it_wants_the_name_of_a_container(program: Path, argv: tuple[str, ...]) -> None:
    assert called(str(program), *argv) == (2, "<3>Usage: checkpoint.pyz NAME\n")


def test_a_container_without_a_schedule(program: Path) -> None:
    status, said = called(str(program), "criu-hosts-unit-test")
    assert status == FAILED
    assert said.startswith("<3>Cannot checkpoint container 'criu-hosts-unit-test': there is no schedule")


def test_a_mistake_of_the_program_is_a_failure(program: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(program.read_bytes())) as packed, zipfile.ZipFile(program, "w") as broken:
        broken.writestr("__main__.py", packed.read("__main__.py"))
    status, said = called(str(program), "web")
    assert status == FAILED and "ModuleNotFoundError" in said
