#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: sets options in one of CRIU's configuration files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_config
short_description: Set options in one of CRIU's configuration files
version_added: 0.1.0
description:
  - Changes only the lines that must change, and keeps all other lines and the comments.
  - Checks the whole text before it writes the file, with a table of the options of CRIU 3.11 to 4.3 and their values.
    CRIU itself accepts abbreviations, text in place of numbers, values that it then ignores, and lines that break every
    later call.
  - The installed CRIU reads the text as well, on its standard input and also in check mode. Nothing is written unless
    both accept the text.
  - One wrong word in C(/etc/criu/default.conf) breaks every call of CRIU, including those by the OCI runtimes.
options:
  kind:
    description:
      - The kind of file, which decides who reads it.
      - V(default) is C(/etc/criu/default.conf), which every CRIU reads. V(user) is C(~/.criu/default.conf) of the user
        that the task runs as.
      - V(runc) and V(crun) are C(/etc/criu/runc.conf) and C(/etc/criu/crun.conf). Their options override those of the
        runtime and of podman.
      - V(container) is a file at O(path) for the containers that name it in their annotation C(org.criu.config).
      - M(criu.hosts.criu_config_info) shows which of them are read on a host.
    type: str
    choices: [default, user, runc, crun, container]
    default: default
  path:
    description:
      - Absolute path of the file of kind V(container). A missing folder is created.
    type: path
  options:
    description:
      - The options by their long names, without dashes.
      - V(true) writes an option without a value, V(false) or V(null) removes it, and a list writes one line per value.
      - Other options are left alone, except with O(exclusive) or O(block).
    type: dict
  content:
    description:
      - The whole text of the file, instead of O(options). It is checked in the same way.
    type: str
  exclusive:
    description:
      - Remove every option that O(options) does not name. Comments stay.
    type: bool
    default: false
  block:
    description:
      - Keep the lines between C(# BEGIN MANAGED BY) and C(# END MANAGED BY), each followed by this name. An option that
        O(options) no longer names is removed from there. Lines elsewhere are left alone.
    type: str
  state:
    description:
      - V(absent) removes the file, or with O(block) that block, and the file if nothing else is in it. The remaining
        lines are not checked.
    type: str
    choices: [present, absent]
    default: present
  allow:
    description:
      - Risky options to accept in this file, such as V(action-script) or V(lsm-profile). By default the module refuses
        options that write images or logs elsewhere, change labels or run programs.
    type: list
    elements: str
    default: []
  executable:
    description:
      - The CRIU that checks the file. By default the one in C(PATH).
    type: path
  version:
    description:
      - The version of CRIU to check against, if it is known, such as RV(criu.hosts.criu_info#module:criu.version). By
        default CRIU is asked for it.
      - Without a version and without CRIU on the host, the module checks against CRIU 4.3 and warns.
    type: str
requirements:
  - CRIU, to check the file before it is written
notes:
  - Needs root for the files in C(/etc/criu). Run the task as the user for kind V(user).
  - A new file has mode 0644, and an old one keeps its mode. The owner is the user of the task.
  - The codes in RV(findings) are V(unknown_option), V(abbreviated), V(leading_dashes), V(value_missing),
    V(value_unexpected), V(value_ignored), V(value_invalid), V(trailing_text), V(blank_around_equals), V(quoting),
    V(comment_glued), V(tab), V(carriage_return), V(control_character), V(line_too_long), V(not_text), V(duplicate),
    V(contradictory), V(not_for_files), V(risky) and V(crashes_criu).
extends_documentation_fragment:
  - criu.hosts._attributes
seealso:
  - module: criu.hosts.criu_config_info
  - module: criu.hosts.criu_info
  - name: criu(8)
    description: CRIU's documentation of its configuration files.
    link: https://criu.org/Configuration_files
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Dump established connections, and wait up to a minute, in every call of CRIU
  criu.hosts.criu_config:
    options:
      tcp-established: true
      timeout: 60

- name: Leave cgroups alone when podman restores with runc
  criu.hosts.criu_config:
    kind: runc
    options:
      manage-cgroups: ignore

- name: Give one container options of its own
  criu.hosts.criu_config:
    kind: container
    path: /etc/criu/redis.conf
    options:
      tcp-close: true
      skip-mnt: [/data/cache, /data/tmp]

- name: Remove an option
  criu.hosts.criu_config:
    options:
      timeout: false

- name: Gather the version of CRIU once
  criu.hosts.criu_info:
    features: []
  register: host

- name: Write a file from a template
  criu.hosts.criu_config:
    kind: user
    content: "{{ lookup('ansible.builtin.template', 'criu.conf.j2') }}"
    version: "{{ host.criu.version }}"
  become: true
  become_user: dumper

- name: Remove the file
  criu.hosts.criu_config:
    kind: crun
    state: absent
"""

RETURN = r"""
changed:
  description: Whether the file was changed, or would be changed by a real run.
  returned: success
  type: bool
  sample: true
config:
  description: The file after the task. Check mode predicts it.
  returned: success
  type: dict
  contains:
    path:
      description: The path of the file.
      type: str
      sample: /etc/criu/default.conf
    kind:
      description: The O(kind).
      type: str
      sample: default
    present:
      description: Whether the file exists.
      type: bool
      sample: true
    options:
      description: The options in the file, each with the list of its values. V(null) is an option without a value.
      type: dict
      sample: {tcp-established: [null], timeout: ["60"]}
    version:
      description: The version of CRIU that the text was checked against. V(null) if no text was checked.
      type: str
      sample: 4.2.1
    validated:
      description: Whether the installed CRIU has read and accepted the text.
      type: bool
      sample: true
findings:
  description:
    - The findings of the linter. On success there are only warnings.
  returned: success, or failure with reason config_invalid
  type: list
  elements: dict
  contains:
    line:
      description: The line in the text that would be written.
      type: int
      sample: 3
    option:
      description: The first word of the line.
      type: str
      sample: tcp-est
    code:
      description: Machine-readable code of the finding, which stays the same between releases.
      type: str
      sample: abbreviated
    severity:
      description: V(error) or V(warning).
      type: str
      sample: error
    message:
      description: The problem and its solution as text.
      type: str
      sample: "Line 3, 'tcp-est': it is an abbreviation, which the next CRIU may not know. Write tcp-established."
commands:
  description: Always empty, as a file is written without a command.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(config_invalid) if the linter rejects the text; see RV(findings).
    - V(config_refused) if the linter accepts the text and CRIU rejects it.
    - V(option_invalid) if a name or value in O(options) cannot be written as one line.
    - V(block_broken) if a marker line of O(block) is missing, or there are too many.
    - V(config_is_directory) if there is a folder at the path.
    - V(config_is_link) if there is a symbolic link at the path.
    - V(config_not_a_file) if there is a pipe, socket or device at the path.
    - V(config_too_large) if the file is larger than an options file ever is.
    - V(config_unreadable) if the file cannot be read.
    - V(config_owner) if the file belongs to a different user than that of the task.
    - V(change_lost) if the file has changed again since the module wrote it.
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be written.
    - V(busy) if a different task has worked on the same file for a minute.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: config_invalid
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /etc/criu/default.conf
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

import pwd
from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_text, version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._criu_config import config_file
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import Finding, lint
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.options import KINDS, NEWEST
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.plan import (
    Desired,
    plan_file,
    refuse_findings,
    refuse_refusal,
    view,
)

SPEC: dict[str, Any] = {
    "kind": {"type": "str", "choices": list(KINDS), "default": "default"},
    "path": {"type": "path"},
    "options": {"type": "dict"},
    "content": {"type": "str"},
    "exclusive": {"type": "bool", "default": False},
    "block": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "allow": {"type": "list", "elements": "str", "default": []},
    "executable": {"type": "path"},
    "version": {"type": "str"},
}


def path_of(ctx: Context) -> str:
    if ctx.params["kind"] == "container":
        return str(ctx.params["path"])
    return config_file.path_of(ctx.paths, ctx.params["kind"], pwd.getpwuid(ctx.uid).pw_dir)


def judge(ctx: Context, desired: Desired, path: str, text: str) -> tuple[list[Finding], Version, bool]:
    """Lints the text, then lets CRIU read it. Without CRIU, the newest known version counts."""
    criu = ctx.params["executable"] or ctx.runner.which("criu")
    given = ctx.params["version"]
    version = version_tuple(given) if given else config_file.read_version(ctx.runner, criu) if criu else NEWEST
    findings = lint(text, desired.kind, version, desired.allow)
    refuse_findings(path, findings)
    if criu is not None:
        refuse_refusal(path, config_file.ask_criu(ctx.runner, criu, text))
    return findings, version, criu is not None


def run(ctx: Context) -> Outcome:
    """Reads the file, plans, checks and applies the change, and reads the file again."""
    desired = Desired.from_params(ctx.params)
    path = path_of(ctx)
    with ctx.hold("config", path):
        return ensure(ctx, desired, path)


def ensure(ctx: Context, desired: Desired, path: str) -> Outcome:
    current = config_file.read_config_file(path)
    plan, text = plan_file(current, desired, ctx.uid)
    findings: list[Finding] = []
    version, validated = None, False
    if text is not None and desired.state == "present":  # removing lines must work even if wrong lines of others remain
        findings, number, validated = judge(ctx, desired, path, text)
        version = version_text(number)
    if ctx.apply(plan) is not None:
        after = config_file.read_config_file(path).demand_text()
        if after != (text or ""):
            raise CheckpointError(
                f"Wrote {path!r}, but its content has changed since. Find out what else writes it, and run the task "
                "again.",
                reason="change_lost",
                path=path,
            )
    value = {**view(path, desired.kind, text), "version": version, "validated": validated}
    warnings = [finding.message for finding in findings]
    if version is not None and not validated:
        warnings.append(f"No criu is installed: {path!r} was checked only against the options of CRIU {version}.")
    return Outcome("config", value, plan, {"findings": [finding.view() for finding in findings]}, tuple(warnings))


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        mutually_exclusive=[("options", "content"), ("content", "block")],
        required_if=[("kind", "container", ["path"])],
    )


if __name__ == "__main__":
    main()
