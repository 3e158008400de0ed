# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the roles on this machine with the facts of other hosts: the first error is a sentence about the host.

A stand-in for criu_info returns what the table says about the same host; all other modules of the collection fail. The
package manager is one that does not exist, so a host that is not refused ends at its first package.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.plays import ROOT, play

FACTS = """\
#!/usr/bin/python
import json, os
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={})
module.exit_json(ansible_facts=json.loads(os.environ["FACTS"]))
"""
CRIU_INFO = """\
#!/usr/bin/python
import json, os
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.criu.hosts.plugins.module_utils._host.support import support_of
module = AnsibleModule(argument_spec={"gather": {"type": "list"}}, supports_check_mode=True)
host = json.loads(os.environ["FACTS"])
distribution, family = host["ansible_distribution"], host["ansible_os_family"].lower()
module.exit_json(criu={
    "path": None,
    "selinux": None,
    "capabilities": None,
    "installed": None,
    "tools": {"nft": None},
    "runtimes": [],
    "config": {},
    "podman": {"path": None},
    "lsm": {"selinux": {"mode": "disabled"}},
    "support": support_of(distribution, family, host["ansible_distribution_version"], "apparmor"),
})
"""
OTHERS = """\
#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
AnsibleModule(argument_spec={}, check_invalid_arguments=False).fail_json(msg="a stand-in")
"""
# Distribution, family and release as Ansible's facts have them.
HOSTS = {
    "suse": ("openSUSE Leap", "Suse", "15.6"),
    "debian11": ("Debian", "Debian", "11.11"),
    "arch": ("Archlinux", "Archlinux", "n/a"),
    "enterprise8": ("Rocky", "RedHat", "8.10"),
    "ubuntu": ("Ubuntu", "Debian", "24.04"),
    "fedora": ("Fedora", "RedHat", "43"),
    "testing": ("Debian", "Debian", "forky/sid"),
    "debian13": ("Debian", "Debian", "13.1"),
    "both": ("Debian", "Debian", "13.1"),
}
REFUSED = {
    "suse": "openSUSE Leap 15.6 is refused: the roles do not know its packages, and nothing was run there. ",
    "debian11": "Debian 11.11 is refused: its packages are older than all that was ever tried. ",
    "arch": "Archlinux n/a is refused: the roles do not know its packages, and nothing was run there. ",
    "enterprise8": "Rocky 8.10 is refused: its kernel and its Python are older than all that was ever tried. ",
}
EXPERIMENTAL = {
    "ubuntu": "Ubuntu 24.04 is experimental: ",
    "fedora": "Fedora 43 is experimental: ",
    "testing": "Debian forky/sid is experimental: ",
}
ENTRIES = {
    "checkpoint_host/main": "Cannot prepare",
    "criu/main": "Cannot set up CRIU on",
    "criu_selinux/main": "Cannot set up SELinux on",
    "criu/build_dependencies": "Cannot build CRIU on",
    "criu/package_dependencies": "Cannot rebuild CRIU's package on",
}


def applied(entry: str, hosts: list[str], **variables: Any) -> dict[str, Any]:
    """Returns the task that applies an entry of a role, and reports the first failure."""
    role, dummy, tasks = entry.partition("/")
    include = {"name": f"criu.hosts.{role}", "tasks_from": tasks}
    failed = {"entry": entry, "task": "{{ ansible_failed_task.name }}", "msg": "{{ ansible_failed_result.msg }}"}
    return {
        "when": f"inventory_hostname in {hosts}",
        "vars": variables,
        "block": [{"ansible.builtin.include_role": include}],
        "rescue": [{"ansible.builtin.debug": {"msg": failed}}],
    }


@dataclass(frozen=True)
class Done:
    """The result of all roles on all hosts: the failures by host and entry, and what Ansible printed."""

    failures: dict[tuple[str, str], dict[str, str]]
    output: str


def facts_of(name: str) -> dict[str, Any]:
    distribution, family, release = HOSTS[name]
    return {
        "ansible_distribution": distribution,
        "ansible_os_family": family,
        "ansible_distribution_version": release,
        "ansible_kernel": "6.12.117",
        "ansible_local": {},
        "ansible_python": {},
        "ansible_selinux": {"status": "enabled" if name == "both" else "disabled"},
        "ansible_selinux_python_present": False,
        "ansible_apparmor": {"status": "enabled"},
        "ansible_pkg_mgr": "none_of_this_machine",
    }


@pytest.fixture(name="done", scope="module")
def done_fixture(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Applies each entry to the hosts that it must refuse, and criu_selinux to the others."""
    folder = tmp_path_factory.mktemp("hosts")
    collection = folder / "ansible_collections/criu/hosts"
    modules = collection / "plugins/modules"
    modules.mkdir(parents=True)
    for name in ("plugins/filter", "plugins/module_utils", "roles"):
        (collection / name).symlink_to(ROOT / name)
    for path in (ROOT / "plugins/modules").glob("*.py"):
        (modules / path.name).write_text(CRIU_INFO if path.stem == "criu_info" else OTHERS, encoding="utf-8")
    (modules / "fake_facts.py").write_text(FACTS, encoding="utf-8")
    others = [name for name in HOSTS if name not in REFUSED]
    tasks = [
        {"criu.hosts.fake_facts": {}},
        *(applied(entry, list(REFUSED)) for entry in ENTRIES),
        applied("criu_selinux/main", others),
        applied("checkpoint_host/main", ["both"]),
    ]
    plan = {
        "hosts": "all",
        "gather_facts": False,
        "environment": {"FACTS": "{{ facts[inventory_hostname] | to_json }}"},
        "tasks": tasks,
    }
    (folder / "play.yml").write_text(json.dumps([plan]), encoding="utf-8")
    # Without the second variable, the roles would look into the package lists of this machine, and update them.
    variables = {name: {"facts": {name: facts_of(name)}, "__criu_lists_updated": True} for name in HOSTS}
    ended = play(folder, variables, "play.yml")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    failures = {}
    for host, text in re.findall(
        r"^ok: \[(\w+)\] => (\{\n    \"msg\": \{.*?^\})", ended.stdout, re.MULTILINE | re.DOTALL
    ):
        failure = json.loads(text)["msg"]
        failures[(host, failure["entry"])] = failure
    return Done(failures, ended.stdout)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("host", REFUSED)
def test_the_first_error_is_the_sentence(done: Done, host: str, entry: str) -> None:
    failure = done.failures[(host, entry)]
    assert failure["msg"].startswith(f"{ENTRIES[entry]} '{host}': {REFUSED[host]}")
    assert failure["task"].endswith("Refuse an unsupported host"), "it comes before the first package"


@pytest.mark.parametrize("host", EXPERIMENTAL)
def test_an_experimental_host_is_told_at_run_time(done: Done, host: str) -> None:
    assert f'"msg": "{EXPERIMENTAL[host]}' in done.output
    assert done.failures[(host, "criu_selinux/main")]["task"].startswith("Install the packages"), "it is not refused"


def test_nothing_is_said_about_a_supported_host(done: Done) -> None:
    assert done.failures[("debian13", "criu_selinux/main")]["task"].startswith("Install the packages")
    assert "is supported" not in done.output


@pytest.mark.parametrize("entry", ["checkpoint_host/main", "criu_selinux/main"])
def test_both_security_modules_are_refused(done: Done, entry: str) -> None:
    expected = f"{ENTRIES[entry]} 'both': Debian 13.1 with SELinux and AppArmor at once is refused: "
    assert done.failures[("both", entry)]["msg"].startswith(expected)
