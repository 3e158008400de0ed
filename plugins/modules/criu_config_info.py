#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: shows which callers read which of CRIU's configuration files, and what these set."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_config_info
short_description: Show which configuration files each caller of CRIU reads, and which options take effect
version_added: 0.1.0
description:
  - Reads all configuration files of CRIU on a host, checks each in the same way as M(criu.hosts.criu_config), and lets
    the installed CRIU read it.
  - For each caller (CRIU on a command line, podman with runc, podman with crun) it returns the files that are read, the
    files that are ignored and why, and the resulting settings, each with its file and line.
  - A setting may have no effect because a later file overrides it, or because the runtime requests the opposite. This
    differs between runc and crun, and between their versions.
  - If CRIU rejects a file, every call by the callers that read it fails.
options:
  annotation:
    description:
      - The value of a container's annotation C(org.criu.config), which is a path or empty. By default the container has
        no such annotation.
    type: str
  home:
    description:
      - The home folder with the C(.criu/default.conf) to read. By default that of the user of the task.
    type: path
  executable:
    description:
      - The CRIU that reads the files. By default the one in C(PATH).
    type: path
requirements:
  - CRIU
notes:
  - The module does not know files that are named on the command line of CRIU or in the environment variable
    C(CRIU_CONFIG_FILE). With C(--config), CRIU reads neither C(/etc/criu/default.conf) nor the user's file.
  - The module does not fail if a file is unreadable or rejected. RV(config.files) describes the problem.
extends_documentation_fragment:
  - criu.hosts._attributes.info
seealso:
  - module: criu.hosts.criu_config
  - module: criu.hosts.criu_info
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Gather CRIU's configuration
  criu.hosts.criu_config_info:
  register: config

- name: Stop if CRIU would refuse a checkpoint
  ansible.builtin.fail:
    msg: "{{ config.config.callers.podman_runc.why }}"
  when: not config.config.callers.podman_runc.available

- name: Show the options of one container
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
  description: The files and their readers.
  returned: success
  type: dict
  contains:
    version:
      description: The version of CRIU.
      type: str
      sample: 4.2.1
    runtimes:
      description: The versions of runc and crun. V(null) for a runtime that is not installed.
      type: dict
      sample: {runc: 1.1.15, crun: "1.21"}
    files:
      description: The files that exist.
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
          description:
            - Why the file cannot be read. V(config_is_directory), V(config_is_link), V(config_not_a_file),
              V(config_unreadable) or V(config_too_large); V(null) if it can.
          type: str
          sample: null
        problem:
          description: The same as text.
          type: str
          sample: null
        owner:
          description: Id of the user who owns the file.
          type: int
          sample: 0
        mode:
          description: Mode of the file.
          type: str
          sample: "0644"
        writable_by_others:
          description: Whether users other than the owner can change the file.
          type: bool
          sample: false
        accepted:
          description: Whether the installed CRIU accepts the file. V(null) if it cannot be read.
          type: bool
          sample: true
        refusal:
          description: The error of CRIU. V(null) if there is none.
          type: str
          sample: null
        findings:
          description: The findings of the linter, as in RV(criu.hosts.criu_config#module:findings).
          type: list
          elements: dict
          sample: []
    callers:
      description: The callers C(criu), C(podman_runc) and C(podman_crun).
      type: dict
      contains:
        available:
          description: Whether the configuration permits a call.
          type: bool
          sample: true
        why:
          description: Why it does not.
          type: str
          sample: null
        files:
          description:
            - The files, each with C(path), C(kind), C(status) and C(why). A file overrides those before it.
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
            - The lines of the files in use, each with C(option), C(value), C(path) and C(line).
            - C(effective) lists the operations for which the line takes effect. C(ignored) explains for each of the
              others why it does not.
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
  description: Always empty, as the module only reads.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(criu_missing) if CRIU is not installed.
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: criu_missing
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [/usr/sbin/criu, --no-default-config, --version]
rc:
  description: Exit status of that command.
  returned: failure of a command
  type: int
  sample: 1
stdout:
  description: Standard output of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: ""
stderr:
  description: Standard error of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: ""
"""

import ctypes
import pwd
from typing import Any, NoReturn, Optional

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_text
from ansible_collections.criu.hosts.plugins.module_utils._criu_config import config_file
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
    """Returns whether the library that crun loads can pass the name of a file to CRIU."""
    try:
        return hasattr(ctypes.CDLL("libcriu.so.2"), "criu_set_config_file")
    except OSError:
        return False


def read_files(ctx: Context) -> dict[str, config_file.ConfigFile]:
    home = ctx.params["home"] or pwd.getpwuid(ctx.uid).pw_dir
    paths = {kind: config_file.path_of(ctx.paths, kind, home) for kind in ("default", "user", "runc", "crun")}
    if ctx.params["annotation"]:
        paths["container"] = ctx.params["annotation"]
    return {kind: config_file.read_config_file(path) for kind, path in paths.items()}


def read_runtime(ctx: Context, name: str) -> Optional[Version]:
    path = ctx.runner.which(name)
    return parse_runtime_version(ctx.runner.run((path, "--version")).out) if path else None


def describe(ctx: Context, criu: str, kind: str, file: config_file.ConfigFile, version: Version) -> dict[str, Any]:
    """Describes an existing file: whether it can be read, and the results of the linter and of CRIU."""
    answer = None if file.text is None else config_file.ask_criu(ctx.runner, criu, file.text)
    accepted = None if answer is None else config_file.accepted(answer)
    return {
        "path": file.path,
        "kind": kind,
        "reason": file.reason or None,
        "problem": file.problem or None,
        "owner": file.owner,
        "mode": None if file.mode is None else f"{file.mode:04o}",
        "writable_by_others": file.writable_by_others,
        "accepted": accepted,
        "refusal": config_file.refusal(answer) if answer is not None and not accepted else None,
        "findings": [finding.view() for finding in lint(file.text or "", kind, version)],
    }


def run(ctx: Context) -> Outcome:
    criu = ctx.params["executable"] or ctx.runner.which("criu")
    if criu is None:
        raise CheckpointError(
            "Cannot check CRIU's configuration: there is no criu in PATH. Install it.", reason="criu_missing"
        )
    version = config_file.read_version(ctx.runner, criu)
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
