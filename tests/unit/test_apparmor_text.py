# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles the text that docs/apparmor.md gives for profiles with AppArmor's own parser. Nothing is loaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor import rules

TEXT = (Path(__file__).resolve().parents[2] / "docs/apparmor.md").read_text(encoding="utf-8")
ABSTRACTION, PROFILE = re.findall(r"^```text\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[:2]
PARSER = shutil.which("apparmor_parser", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
SYSTEM = Path("/etc/apparmor.d")
# The features of the kernel for which Debian's parser compiles; it has no mediation of single Unix sockets.
FEATURES = Path("/usr/share/apparmor-features/features")


def test_what_is_explained_is_in_the_abstraction() -> None:
    lines = [line.strip() for line in ABSTRACTION.splitlines()]
    assert {rules.CREATE_SOCKET, rules.USE_SOCKET} <= set(lines)
    assert "#include <abstractions/criu>" in PROFILE


def compiled(folder: Path, abstraction: str, *options: str) -> subprocess.CompletedProcess[str]:
    if PARSER is None or not (SYSTEM / "abstractions/base").exists():
        pytest.skip("apparmor_parser, of the package apparmor, is not installed")
    (folder / "abstractions").mkdir(exist_ok=True)
    (folder / "abstractions/criu").write_text(abstraction, encoding="utf-8")
    (folder / "lab").write_text(PROFILE.replace("  ...\n", ""), encoding="utf-8")
    argv = [PARSER, "--skip-kernel-load", "--skip-cache", *options]
    argv += ["--base", str(folder), "--Include", str(SYSTEM), str(folder / "lab")]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_abstraction_compiles(tmp_path: Path) -> None:
    done = compiled(tmp_path, ABSTRACTION)
    assert done.returncode == 0, done.stderr
    broken = compiled(tmp_path, ABSTRACTION.replace("unix (create)", "unix (creat)"))
    assert broken.returncode != 0 and "abstractions/criu at line" in broken.stderr, "the abstraction was not read"


def test_the_rules_for_sockets_hold_for_a_kernel_that_knows_none(tmp_path: Path) -> None:
    """They become rules for all sockets of the kind, which allow more, and not rules that are left out."""
    if not FEATURES.exists():
        pytest.skip(f"the package apparmor of this distribution has no {FEATURES}")
    # Twice with the same other rules: what is reported besides is about the abstraction.
    options = (f"--features-file={FEATURES}", "--warn=rule-downgraded", "--warn=rule-not-enforced")
    without, done = (compiled(tmp_path, text, *options) for text in ("", ABSTRACTION))
    assert without.returncode == done.returncode == 0, done.stderr
    assert done.stderr.count("downgrading") - without.stderr.count("downgrading") == ABSTRACTION.count("\n  unix (")
    assert "not enforced" not in done.stderr
