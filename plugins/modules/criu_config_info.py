#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: which of CRIU's configuration files are read by whom, and what they set."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_config_info
short_description: Tell which CRIU configuration files are read by whom, and what they set
version_added: 0.1.0
description:
  - Reads all of CRIU's configuration files on a host, judges each like M(criu.hosts.criu_config) does, and lets the
    installed CRIU read it.
  - Tells for each caller, CRIU on a command line, podman with runc and podman with crun, which files it reads, which it
    ignores and why, and the settings that come of it, each with its file and line.
  - A setting may be without effect because a later file says something else, or because the runtime asks for the
    contrary. runc and crun differ in that, and so do their versions.
  - A file that CRIU refuses makes every call of that caller fail.
options:
  annotation:
    description:
      - The value of the annotation C(org.criu.config) of the container in question, a path or an empty text. By
        default the container has no such annotation.
    type: str
  home:
    description:
      - The home folder whose C(.criu/default.conf) counts. By default that of the user of the task.
    type: path
  executable:
    description:
      - The CRIU to ask. By default the one in the path.
    type: path
requirements:
  - CRIU
notes:
  - A file named on CRIU's command line or in the environment variable C(CRIU_CONFIG_FILE) is not known to the module.
    With C(--config), CRIU does not read C(/etc/criu/default.conf) and the user's file.
  - The only further reason is V(criu_missing) (no CRIU to ask). What is wrong with a file is part of the answer, where
    C(reason) may be V(config_is_directory), V(config_is_link), V(config_not_a_file), V(config_unreadable) or
    V(config_too_large).
extends_documentation_fragment:
  - criu.hosts._attributes.info
seealso:
  - module: criu.hosts.criu_config
  - module: criu.hosts.criu_info
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Look at CRIU's configuration
  criu.hosts.criu_config_info:
  register: config

- name: Stop before a checkpoint that CRIU would refuse
  ansible.builtin.fail:
    msg: "{{ config.config.callers.podman_runc.why }}"
  when: not config.config.callers.podman_runc.available

- name: Show what one container gets
  criu.hosts.criu_config_info:
    annotation: /etc/criu/redis.conf
"""

RETURN = r"""
changed:
  description: Always V(false).
  returned: success
  type: bool
  sample: false
config:
  description: The files and who reads them.
  returned: success
  type: dict
  contains:
    version:
      description: The version of CRIU.
      type: str
      sample: 4.2.1
    runtimes:
      description: The versions of runc and crun. V(null) if one is not installed.
      type: dict
      sample: {runc: 1.1.15, crun: "1.21"}
    files:
      description: The files that there are.
      type: list
      elements: dict
      contains:
        path:
          description: The path.
          type: str
          sample: /etc/criu/default.conf
        kind:
          description: The kind, as in M(criu.hosts.criu_config).
          type: str
          sample: default
        reason:
          description: Why it cannot be read, a stable word. V(null) if it can.
          type: str
          sample: null
        problem:
          description: The same for people.
          type: str
          sample: null
        owner:
          description: The number of the user that it belongs to.
          type: int
          sample: 0
        mode:
          description: Its mode.
          type: str
          sample: "0644"
        writable_by_others:
          description: Whether others than its owner may change what CRIU does.
          type: bool
          sample: false
        accepted:
          description: Whether the installed CRIU accepts it. V(null) if it cannot be read.
          type: bool
          sample: true
        refusal:
          description: What CRIU says against it.
          type: str
          sample: null
        findings:
          description: What the linter says, as in M(criu.hosts.criu_config).
          type: list
          elements: dict
          sample: []
    callers:
      description: C(criu), C(podman_runc) and C(podman_crun).
      type: dict
      contains:
        available:
          description: Whether a call can work, as far as the configuration goes.
          type: bool
          sample: true
        why:
          description: Why not.
          type: str
          sample: null
        files:
          description:
            - The files, the one that outranks the others last, with C(path), C(kind), C(status) and C(why).
            - The status is V(used), V(absent), V(ignored) or V(unreadable).
          type: list
          elements: dict
          sample:
            - path: /etc/criu/runc.conf
              kind: runc
              status: ignored
              why: "dump/restore: the annotation org.criu.config takes its place"
        settings:
          description:
            - The lines in the files that are used, with C(option), C(value), C(path) and C(line).
            - C(effective) lists the operations at which the line holds, C(ignored) says for the others why it does not.
          type: list
          elements: dict
          sample:
            - option: tcp-established
              value: null
              path: /etc/criu/default.conf
              line: 2
              effective: []
              ignored:
                dump: "runc asks for: off, unless its command line asks for it"
                restore: "runc asks for: off, unless its command line asks for it"
commands:
  description: Always empty; nothing is changed.
  returned: success
  type: list
  elements: list
  sample: []
"""

import ctypes
import os
import pwd
from typing import Any, NoReturn, Optional

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_text
from ansible_collections.criu.hosts.plugins.module_utils._criu_config import file as files
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import lint
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.readers import (
    CRUN_READS,
    Host,
    parse_runtime_version,
    with_refusals,
)

SPEC: dict[str, Any] = {
    "annotation": {"type": "str"},
    "home": {"type": "path"},
    "executable": {"type": "path"},
}


def libcriu_carries() -> bool:
    """Whether the library that crun loads can tell CRIU the name of a file."""
    try:
        return hasattr(ctypes.CDLL("libcriu.so.2"), "criu_set_config_file")
    except OSError:
        return False


def read_files(ctx: Context) -> dict[str, files.ConfigFile]:
    home = ctx.params["home"] or pwd.getpwuid(os.geteuid()).pw_dir
    paths = {kind: files.path_of(ctx.paths, kind, home) for kind in ("default", "user", "runc", "crun")}
    if ctx.params["annotation"]:
        paths["container"] = ctx.params["annotation"]
    return {kind: files.read_config_file(path) for kind, path in paths.items()}


def read_runtime(ctx: Context, name: str) -> Optional[Version]:
    path = ctx.runner.which(name)
    return parse_runtime_version(ctx.runner.run((path, "--version")).out) if path else None


def describe(ctx: Context, criu: str, kind: str, file: files.ConfigFile, version: Version) -> dict[str, Any]:
    """A file that exists: can it be read, and what do the linter and CRIU say."""
    answer = None if file.text is None else files.ask_criu(ctx.runner, criu, file.text)
    accepted = None if answer is None else files.accepted(answer)
    return {
        "path": file.path,
        "kind": kind,
        "reason": file.reason or None,
        "problem": file.problem or None,
        "owner": file.owner,
        "mode": None if file.mode is None else f"{file.mode:04o}",
        "writable_by_others": file.writable_by_others,
        "accepted": accepted,
        "refusal": files.refusal(answer) if answer is not None and not accepted else None,
        "findings": [finding.view() for finding in lint(file.text or "", kind, version)],
    }


def run(ctx: Context) -> Outcome:
    criu = ctx.params["executable"] or ctx.runner.which("criu")
    if criu is None:
        raise CheckpointError(
            "Cannot ask CRIU what it reads: there is no criu in the path. Install it.", reason="criu_missing"
        )
    version = files.read_version(ctx.runner, criu)
    found = read_files(ctx)
    runtimes = {name: read_runtime(ctx, name) for name in ("runc", "crun")}
    carries = (runtimes["crun"] or (0,)) >= CRUN_READS and libcriu_carries()
    host = Host(version, runtimes, carries, found, ctx.params["annotation"])
    described = [describe(ctx, criu, kind, file, version) for kind, file in found.items() if file.present]
    refused = {entry["path"]: entry["refusal"] for entry in described if entry["refusal"]}
    value = {
        "version": version_text(version),
        "runtimes": {name: number and version_text(number) for name, number in runtimes.items()},
        "files": described,
        "callers": {name: with_refusals(host.caller(name), refused) for name in ("criu", "podman_runc", "podman_crun")},
    }
    return Outcome("config", value)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
