# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.criu.hosts.plugins.filter.similar_name import FilterModule, similar_name

NAMES = ["criu_artifact", "criu_artifact_path", "criu_source"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("criu_artefact", "criu_artifact"), ("criu_sorce", "criu_source"), ("nothing_like_it", "")],
)
def test_the_most_similar_name(name: str, expected: str) -> None:
    assert FilterModule().filters()["similar_name"](name, NAMES) == expected


def test_names_that_are_no_list() -> None:
    with pytest.raises(AnsibleFilterError, match="give the known names as a list"):
        similar_name("a", 1)
