#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the options in one of CRIU's configuration files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: criu_config
short_description: Set options in one of CRIU's configuration files
version_added: 0.1.0
description:
  - Changes the lines that must change and leaves the others and the comments as they are.
  - Judges the whole file before it is written, by a table of the options of CRIU 3.11 to 4.3 and their values. CRIU
    itself accepts abbreviations, text for numbers, values that it then ignores and lines that break every later call.
  - Then the installed CRIU reads the text as well. It gets it on its standard input, so check mode asks it too, and
    nothing is written before both agree.
  - One wrong word in C(/etc/criu/default.conf) breaks every call of CRIU, those of the runtimes too.
options:
  kind:
    description:
      - Who reads the file.
      - V(default) is C(/etc/criu/default.conf), which every CRIU reads. V(user) is C(~/.criu/default.conf) of the user
        that the task runs as.
      - V(runc) and V(crun) are C(/etc/criu/runc.conf) and C(/etc/criu/crun.conf). What they say outranks what the
        runtime and podman ask for.
      - V(container) is a file at O(path) for the containers that name it in their annotation C(org.criu.config).
      - M(criu.hosts.criu_config_info) tells which of them are read on a host.
    type: str
    choices: [default, user, runc, crun, container]
    default: default
  path:
    description:
      - The file of kind V(container), an absolute path. The folder is made if it is missing.
    type: path
  options:
    description:
      - The options by their long names, without dashes.
      - V(true) writes an option without a value, V(false) or V(null) removes it, a list writes one line for each value.
      - An option that is not named here is left alone, unless O(exclusive) or O(block) says otherwise.
    type: dict
  content:
    description:
      - The whole text of the file, in place of O(options). It is judged like any other.
    type: str
  exclusive:
    description:
      - Remove every option that O(options) does not name. Comments stay.
    type: bool
    default: false
  block:
    description:
      - Keep the lines between C(# BEGIN MANAGED BY) and C(# END MANAGED BY) with this name behind. An option that is
        not named any more is removed from there, and lines elsewhere are left alone.
    type: str
  state:
    description:
      - V(absent) removes the file, or with O(block) that block, and the file if nothing else is in it. What stays is
        not judged.
    type: str
    choices: [present, absent]
    default: present
  allow:
    description:
      - Options whose risk in this file is wanted, such as V(action-script) or V(lsm-profile). Without it the module
        refuses what puts images or logs elsewhere, changes labels or runs programs.
    type: list
    elements: str
    default: []
  executable:
    description:
      - The CRIU that judges the file. By default the one in the path.
    type: path
  version:
    description:
      - The version of CRIU to judge by, if it is known, such as RV(criu.hosts.criu_info#module:criu.version).
        Otherwise CRIU is asked.
      - Without a version and without CRIU on the host, the options of CRIU 4.3 count, and the task warns.
    type: str
requirements:
  - CRIU, to have the file read by it before it is written
notes:
  - Needs root for the files in C(/etc/criu). Run the task as the user for kind V(user).
  - A new file has mode 0644; an old one keeps its mode. The owner is the user of the task.
  - Further reasons are V(config_invalid) (the linter refuses the text, RV(findings) says why), V(config_refused) (the
    linter does not, but CRIU does), V(option_invalid) (a name or value that makes no line), V(block_broken) (a marker
    line is missing), V(config_is_directory), V(config_is_link), V(config_not_a_file), V(config_unreadable),
    V(config_too_large) (what is at the path is no file of options), V(config_owner) (it belongs to another user)
    and V(change_lost) (the file is not as written).
  - The words in RV(findings) are V(unknown_option), V(abbreviated), V(leading_dashes), V(value_missing),
    V(value_unexpected), V(value_ignored), V(value_invalid), V(trailing_text), V(blank_around_equals), V(quoting),
    V(comment_glued), V(tab), V(carriage_return), V(control_character), V(line_too_long), V(not_text), V(duplicate),
    V(contradictory), V(not_for_files), V(risky) and V(crashes_criu).
extends_documentation_fragment:
  - criu.hosts._attributes
seealso:
  - module: criu.hosts.criu_config_info
  - module: criu.hosts.criu_info
  - name: criu(8)
    description: The options.
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

- name: Take an option out again
  criu.hosts.criu_config:
    options:
      timeout: false

- name: Ask the host first, and spare the question
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
  description: Whether the file was, or would be, changed.
  returned: success
  type: bool
  sample: true
config:
  description: The file as read after the work; in check mode, as it would be.
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
      description: The options in it, each with the list of its values. V(null) is an option without a value.
      type: dict
      sample: {tcp-established: [null], timeout: ["60"]}
    version:
      description: The version of CRIU that it was judged by. V(null) if nothing was judged.
      type: str
      sample: 4.2.1
    validated:
      description: Whether the installed CRIU has read the text and accepts it.
      type: bool
      sample: true
findings:
  description:
    - What the linter says. On success there are only warnings.
  returned: success, and failure with the reason V(config_invalid)
  type: list
  elements: dict
  contains:
    line:
      description: The line in the text that would be written.
      type: int
      sample: 3
    option:
      description: The word at its beginning.
      type: str
      sample: tcp-est
    code:
      description: A stable word.
      type: str
      sample: abbreviated
    severity:
      description: V(error) or V(warning).
      type: str
      sample: error
    message:
      description: What is wrong and what to do.
      type: str
      sample: "Line 3, 'tcp-est': it is an abbreviation, which the next CRIU may not know. Write tcp-established."
commands:
  description: Always empty; a file is written without a command.
  returned: success
  type: list
  elements: list
  sample: []
"""

import os
import pwd
from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_text, version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._criu_config import file as files
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
    return files.path_of(ctx.paths, ctx.params["kind"], pwd.getpwuid(os.geteuid()).pw_dir)


def judge(ctx: Context, desired: Desired, path: str, text: str) -> tuple[list[Finding], Version, bool]:
    """Lint, then let CRIU read it. Without CRIU, the newest options that are known count."""
    criu = ctx.params["executable"] or ctx.runner.which("criu")
    given = ctx.params["version"]
    version = version_tuple(given) if given else files.read_version(ctx.runner, criu) if criu else NEWEST
    findings = lint(text, desired.kind, version, desired.allow)
    refuse_findings(path, findings)
    if criu is not None:
        refuse_refusal(path, files.ask_criu(ctx.runner, criu, text))
    return findings, version, criu is not None


def run(ctx: Context) -> Outcome:
    """Read, plan, judge, apply, read again."""
    desired = Desired.from_params(ctx.params)
    path = path_of(ctx)
    current = files.read_config_file(path)
    plan, text = plan_file(current, desired, os.geteuid())
    findings: list[Finding] = []
    version, validated = None, False
    if text is not None and desired.state == "present":  # what takes lines away may leave the bad lines of others
        findings, number, validated = judge(ctx, desired, path, text)
        version = version_text(number)
    if ctx.apply(plan) is not None:
        after = files.read_config_file(path).demand_text()
        if after != (text or ""):
            raise CheckpointError(
                f"Wrote {path!r}, but its text is another now. Look for what else writes it, and run the task again.",
                reason="change_lost",
                path=path,
            )
    value = {**view(path, desired.kind, text), "version": version, "validated": validated}
    warnings = [finding.message for finding in findings]
    if version is not None and not validated:
        warnings.append(f"There is no criu to ask: {path!r} was judged by the options of CRIU {version} only.")
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
