# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of a configuration file that CRIU refuses. The stand-in answers as CRIU 4.2.1 does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.config_error import (
    explain_version,
    refuse_config,
    refused_line,
)

VERSION = "Version: 4.2.1\n"
HELP = "\nUsage:\n  criu dump|pre-dump -t PID [<options>]\n"
BOGUS = "criu: unrecognized option '--bogus'\n"
PRINTED = Completed(("criu", "--version"), 1, HELP, BOGUS)


class StandIn:
    """A CRIU that knows link-remap and ghost-limit, and prints its help for help."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.calls = 0

    def which(self, name: str) -> str | None:
        return name

    def run(self, argv: Sequence[str], *, stdin: str | None = None, **dummy_options: Any) -> Completed:
        self.calls += 1
        for line in (stdin or "").splitlines():
            word = line.split(None, 1)[0] if line.split() else "#"
            if word == "help":
                return Completed(tuple(argv), 0, HELP, "")
            if not word.startswith("#") and word not in ("link-remap", "ghost-limit"):
                return Completed(tuple(argv), 1, HELP, BOGUS)
        return Completed(tuple(argv), 1 if self.broken else 0, "" if self.broken else VERSION, "")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("bogus\n", 1, "unrecognized option '--bogus'"),
        ("# a\n\nlink-remap\nbogus 3\nghost-limit 3M\n", 4, "unrecognized option '--bogus'"),
        ("link-remap\nghost-limit 1M\nhelp", 3, "CRIU prints its help because of it"),
        ("link-remap\n" * 300 + "bogus\n" + "bogus\n" * 50, 301, "unrecognized option '--bogus'"),
    ],
)
def test_the_first_refused_line_is_named(tmp_path: Path, text: str, line: int, said: str) -> None:
    (tmp_path / "a.conf").write_text(text)
    runner = StandIn()
    error = refused_line(runner, "criu", str(tmp_path / "a.conf"))
    assert error is not None and error.reason == "config_broken" and error.facts["path"] == str(tmp_path / "a.conf")
    assert f"refuses line {line} of its configuration file '{tmp_path}/a.conf'" in error.message
    assert said in error.message
    assert runner.calls < 15


@pytest.mark.parametrize("text", ["", "link-remap\n", None])
def test_a_good_or_absent_file_is_not_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "a.conf").write_text(text)
    assert refused_line(StandIn(), "criu", str(tmp_path / "a.conf")) is None
    refuse_config(Paths(str(tmp_path)), StandIn(), "criu", "/a.conf")


def test_the_file_of_a_runtime_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runc.conf").write_text("bogus\n")
    with pytest.raises(CheckpointError, match="line 1 of its configuration file"):
        refuse_config(Paths(str(tmp_path)), StandIn(), "criu", "/runc.conf")


def test_a_criu_that_is_broken_itself_is_not_blamed_on_a_file(tmp_path: Path) -> None:
    (tmp_path / "etc/criu").mkdir(parents=True)
    (tmp_path / "etc/criu/default.conf").write_text("bogus\n")
    assert explain_version(Paths(str(tmp_path)), StandIn(broken=True), PRINTED) is None
    assert explain_version(Paths(str(tmp_path)), StandIn(), PRINTED) is not None


def test_the_file_of_the_user_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.conf").write_text("bogus\n")
    monkeypatch.setenv("CRIU_CONFIG_FILE", str(tmp_path / "own.conf"))
    error = explain_version(Paths(str(tmp_path)), StandIn(), PRINTED)
    assert error is not None and error.facts["path"] == str(tmp_path / "own.conf")
