# SPDX-License-Identifier: GPL-3.0-or-later
"""What CRIU prints before it has a log."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._process.failure import cause_of

DUMP = ("/usr/sbin/criu", "dump", "--tree", "7", "--file-locks")


def test_a_wrong_word_in_a_configuration_file_names_the_files(fixture_text: Any) -> None:
    cause = cause_of(Completed(DUMP, 1, "", fixture_text("criu/4.2.1-bad-config.stderr.txt")))
    assert cause.reason == "config_broken"
    assert "'network-lok'" in cause.why and "/etc/criu/default.conf" in cause.why


def test_an_option_of_the_command_itself_is_no_matter_of_the_file() -> None:
    """An old CRIU does not know it."""
    cause = cause_of(Completed(DUMP, 1, "", "criu: unrecognized option '--file-locks'\n"))
    assert cause.reason == "tool_failed" and "file-locks" in cause.why


@pytest.mark.parametrize("line", ["(00.000000) Effective capability 21 missing", "Effective capability 40 missing"])
def test_a_missing_capability_is_named(line: str) -> None:
    cause = cause_of(Completed(DUMP, 1, "", f"{line}\n"))
    assert cause.reason == "capabilities_missing" and "criu_non_root" in cause.advice
