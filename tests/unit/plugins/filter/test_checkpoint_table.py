# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.filter import checkpoint_table
from ansible_collections.criu.hosts.tests.unit.stored import manifest_of, process_manifest, store_checkpoint

FIXTURES = Path(__file__).parents[2] / "fixtures"


def checkpoints(module: Any, folder: Path, **params: Any) -> Any:
    return module("checkpoint_info", {"path": str(folder), **params}).result["checkpoints"]


def table(*arguments: Any, **options: Any) -> str:
    return checkpoint_table.FilterModule().filters()["checkpoint_table"](*arguments, **options)


def test_the_columns_are_those_of_checkpointctl(module: Any) -> None:
    head, row = table(checkpoints(module, FIXTURES / "criu/4.2.1-archive.tar.gz")).splitlines()
    text = (FIXTURES / "checkpointctl/1.3.0-show-4.2.1.txt").read_text(encoding="utf-8")
    theirs = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert [re.split(r"  +", line)[1:] for line in (head, row)] == theirs


def test_processes_and_what_is_wrong(module: Any, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    (tmp_path / "web.tar.gz").write_bytes((FIXTURES / "criu/4.2.1-archive.tar.gz").read_bytes())
    lines = table(checkpoints(module, tmp_path, verify=True), processes=True).splitlines()
    assert lines[0].endswith("VERIFIED") and lines[2].endswith("  -")
    assert lines[1].split() == ["a.tar", *["-"] * 9]
    assert lines[4].startswith("archive_invalid: Cannot read")
    assert lines[-3:] == ["web.tar.gz", "[14011]  python3 victim.py a b c", "  [14042]  sleep 86400"]


def test_a_store(module: Any, tmp_path: Path) -> None:
    later = manifest_of("20261130T174500Z-00000001", "db", made_at="2026-11-30T17:45:00Z")
    store_checkpoint(tmp_path, later)
    (store_checkpoint(tmp_path, process_manifest()) / "pinned").touch()
    (Path(tmp_path / "containers/db/20261130T174500Z-00000001/archive.tar.zst")).write_bytes(b"")
    found = module("checkpoint_info", {"store": str(tmp_path), "verify": True}).result["checkpoints"]
    lines = table(found).splitlines()
    assert [re.split(r"  +", line) for line in lines[:3]] == [
        [*checkpoint_table.STORED, "VERIFIED"],
        [later.id, "container", "db", "localhost/w:latest", "crun", later.made_at, "23 B", "no", "no", "-"],
        [
            "20261130T164500Z-1a2b3c4d",
            "process",
            "worker",
            "-",
            "-",
            "2026-11-30T16:45:00Z",
            "46 B",
            "no",
            "yes",
            "yes",
        ],
    ]
    assert lines[4].startswith("checkpoint_damaged: Cannot use '") and "archive.tar.zst' has 0 bytes" in lines[4]


def test_what_keeps_from_a_restore(module: Any, tmp_path: Path) -> None:
    store_checkpoint(tmp_path, manifest_of())
    (one,) = module("checkpoint_info", {"store": str(tmp_path)}).result["checkpoints"]
    reasons = [{"reason": "image_missing", "message": "Cannot restore: no image.", "remedy": "Load it."}]
    head, row, dummy, title, why = table([{**one, "restorable": False, "reasons": reasons}]).splitlines()
    assert (head.split()[-1], row.split()[-1]) == ("RESTORABLE", "NO")
    assert title == "20261130T164500Z-1a2b3c4d cannot be restored here"
    assert why == "  image_missing: Cannot restore: no image. Load it."


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB")])
def test_sizes(size: int, text: str) -> None:
    assert checkpoint_table.size_of(size) == text


def test_something_else() -> None:
    with pytest.raises(AnsibleFilterError, match="Cannot render the checkpoints"):
        table([{"name": "web"}])
