# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that playbooks, roles and tests contain nothing that makes Ansible warn when they run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDERS = ("examples", "extensions", "playbooks", "roles", "tests/bench", "tests/builds", "tests/testinfra")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.yml"))]
MODULE = re.compile(r"(\w+\.){2}\w+")
INCLUDES = {"ansible.builtin.include_role", "ansible.builtin.include_tasks"}


class Loader(yaml.SafeLoader):
    """Reads tags such as !unsafe as nothing."""


Loader.add_multi_constructor("!", lambda dummy_loader, dummy_suffix, dummy_node: None)


def mappings(value):
    """Yields each mapping in a document, at any depth."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from mappings(one)


def all_mappings(path):
    for document in yaml.load_all(path.read_text(encoding="utf-8"), Loader):
        yield from mappings(document)


def is_template(value):
    return isinstance(value, str) and value.lstrip().startswith("{{")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_arguments_are_written_out(path):
    """Ansible warns if one template gives all arguments, and splits those of command at spaces."""
    keys = [(key, one[key]) for one in all_mappings(path) for key in one if isinstance(key, str)]
    assert [key for key, value in keys if (MODULE.fullmatch(key) or key == "args") and is_template(value)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_looped_include_has_a_loop_variable_of_its_own(path):
    """With the variable item, Ansible warns as soon as an included task has a loop."""
    looped = [one for one in all_mappings(path) if "loop" in one and INCLUDES & set(one)]
    assert [one["name"] for one in looped if one.get("loop_control", {}).get("loop_var", "item") == "item"] == []
