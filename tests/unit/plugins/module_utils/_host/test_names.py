# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests which names an engine may take for the beginning of an id."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host.names import is_id, may_begin_id, only

ID = "91f04b57" * 8


@pytest.mark.parametrize("name", ["d", "db", "cafe", "42", "DB", "a_b", "_", ID, "a" * 64])
def test_hexadecimal_names_may_begin_an_id(name: str) -> None:
    assert may_begin_id(name)


@pytest.mark.parametrize("name", ["web", "db-1", "db.1", "dbx", "", "a" * 65, "db\n"])
def test_other_names_begin_no_id(name: str) -> None:
    assert not may_begin_id(name) and only(name) == (name,)


def test_a_removal_gets_a_filter_for_a_name_and_an_id_as_it_is() -> None:
    assert only("db") == ("--filter", "name=^db$")
    assert is_id(ID) and only(ID) == (ID,)
    assert not is_id(ID[:12]) and only(ID[:12]) == ("--filter", f"name=^{ID[:12]}$")
