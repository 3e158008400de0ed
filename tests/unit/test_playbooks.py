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
    """Ansible warns if one template gives all arguments, and splits those of command at spaces. raw has only a text."""
    keys = [(key, one[key]) for one in all_mappings(path) for key in one if isinstance(key, str)]
    keys = [(key, value) for key, value in keys if key != "ansible.builtin.raw"]
    assert [key for key, value in keys if (MODULE.fullmatch(key) or key == "args") and is_template(value)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_looped_include_has_a_loop_variable_of_its_own(path):
    """With the variable item, Ansible warns as soon as an included task has a loop."""
    looped = [one for one in all_mappings(path) if "loop" in one and INCLUDES & set(one)]
    assert [one["name"] for one in looped if one.get("loop_control", {}).get("loop_var", "item") == "item"] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_message_is_one_line(path):
    """YAML keeps the line break before and after a line of a folded text that is indented more."""
    texts = [one[key] for one in all_mappings(path) for key in ("msg", "fail_msg", "success_msg", "say") if key in one]
    outside = [re.sub(r"\{\{.*?\}\}", "", text, flags=re.DOTALL) for text in texts if isinstance(text, str)]
    assert [text for text in outside if "\n" in text] == []


PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
# Those that stop, reboot or set up a service.
NAMED = {
    "checkpoint_container",
    "checkpoint_process",
    "nextcloud",
    "reboot_host",
    "restore_container",
    "restore_process",
    "upgrade_nextcloud",
}
CHECK = {
    "name": "Check the hosts and the variables",
    "ansible.builtin.import_tasks": "tasks/check.yml",
    "tags": ["always"],
}


def plays(path):
    return [one for one in yaml.safe_load(path.read_text(encoding="utf-8")) if "hosts" in one]


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_a_playbook_first_checks_its_hosts_and_variables(path):
    (play,) = plays(path)
    assert play["hosts"] == "{{ __playbook_hosts }}" and play["vars_files"] == ["vars/check.yml"]
    assert play["pre_tasks"] == [CHECK]
    # Facts would be gathered before the check, as root on the controller if the play is refused.
    assert play["gather_facts"] is False
    assert play["vars"]["__playbook"] == path.stem
    assert play["vars"].get("__playbook_default") in ((None,) if path.stem in NAMED else ("all", "first"))


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_a_playbook_knows_the_variables_that_it_uses(path):
    (play,) = plays(path)
    text = path.read_text(encoding="utf-8")
    known = {f"{path.stem}_hosts", *play["vars"].get("__playbook_variables", ())}
    for role in play["vars"].get("__playbook_roles", ()):
        specs = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))
        known.update(name for entry in specs["argument_specs"].values() for name in entry["options"])
    prefixes = (path.stem, *play["vars"].get("__playbook_roles", ()))
    used = {name for body in re.findall(r"\{\{(.*?)\}\}", text, re.DOTALL) for name in re.findall(r"\b\w+\b", body)}
    assert {name for name in used if name.startswith(tuple(f"{one}_" for one in prefixes))} <= known
    assert {name for needs in play["vars"].get("__playbook_needs", ()) for name in needs} <= known


PHASES = ("preflight", "install", "configure", "run")
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def tags_of(role):
    """The tags of each part of a role, in order."""
    parts = yaml.safe_load((ROOT / f"roles/{role}/tasks/main.yml").read_text(encoding="utf-8"))
    return [part["tags"] for part in parts]


@pytest.mark.parametrize("role", ROLES)
def test_the_checks_of_a_role_run_under_each_of_its_tags(role):
    first, *others = tags_of(role)
    assert {tag for tags in others for tag in tags} <= set(first)
    own = {tag for tag in first if tag == role or tag in {f"{role}_{one}" for one in PHASES}}
    assert role in own and all(role in tags for tags in (first, *others))
    # A tag that only the checks have is one that checks only.
    assert {tag for tag in own if not any(tag in tags for tags in others)} <= {f"{role}_preflight"}


@pytest.mark.parametrize("role", ROLES)
def test_the_tags_of_a_role_are_in_its_readme(role):
    text = (ROOT / f"roles/{role}/README.md").read_text(encoding="utf-8")
    own = {tag for tag in tags_of(role)[0] if tag == role or tag in {f"{role}_{one}" for one in PHASES}}
    assert [tag for tag in sorted(own) if f"`{tag}`" not in text] == []


@pytest.mark.parametrize("path", sorted((ROOT / "roles").glob("*/tasks/*.yml")), ids=lambda path: str(path)[-40:])
def test_the_tasks_of_an_include_run_if_the_include_runs(path):
    """Ansible does not pass the tags of a dynamic include to its tasks, so --tags would skip all of them."""
    for one in all_mappings(path):
        tasks = one.get("ansible.builtin.include_tasks")
        assert tasks is None or tasks.get("apply", {}).get("tags") == ["always"]
        role = one.get("ansible.builtin.include_role")
        assert role is None or role.get("apply", {}).get("tags")


def test_no_path_of_the_controller_is_read_with_a_program():
    """The controller may be macOS or an execution environment."""
    assert [path for path in FILES if "lookup('ansible.builtin.pipe'" in path.read_text(encoding="utf-8")] == []
