#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the experimental features of Docker's daemon."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_experimental
short_description: Allow Docker's daemon its experimental features, without which it has no checkpoints
version_added: 0.1.0
description:
  - Sets C(experimental) in C(/etc/docker/daemon.json), and keeps all other keys of the file.
  - The daemon reads that at its start only, so it is restarted if it runs otherwise. A daemon that does not run is not
    started.
  - A restart ends all containers, unless C(live-restore) is on. It is refused while containers run, unless
    O(stop_containers) is set. If the daemon does not start, the file gets its old content, and the daemon is started
    with that.
options:
  state:
    description:
      - V(present) switches the experimental features on. If the daemon has them already, nothing is changed.
      - V(absent) removes C(experimental) from the file, and the file if nothing else is in it.
    type: str
    choices: [present, absent]
    default: present
  stop_containers:
    description:
      - Restart the daemon although containers run and C(live-restore) is off. All of them end; those with a restart
        policy start again, without their state.
    type: bool
    default: false
requirements:
  - Docker (Debian's package docker.io)
notes:
  - Needs root.
  - The file is written as JSON with four blanks for each level; the order of its keys stays.
extends_documentation_fragment:
  - criu.hosts._attributes
seealso:
  - module: criu.hosts.container_checkpoint
  - name: docker checkpoint
    description: The command that needs the experimental features.
    link: https://docs.docker.com/reference/cli/docker/checkpoint/
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Let Docker checkpoint containers
  criu.hosts.docker_experimental:

- name: Let Docker checkpoint containers, and accept that those end which run now
  criu.hosts.docker_experimental:
    stop_containers: true
"""

RETURN = r"""
changed:
  description: Whether the file was written or the daemon restarted, or would be by a real run.
  returned: success
  type: bool
  sample: true
docker_experimental:
  description: The daemon after the task. Check mode predicts it.
  returned: success
  type: dict
  contains:
    path:
      description: The file with the settings of the daemon.
      type: str
      sample: /etc/docker/daemon.json
    experimental:
      description: Whether the daemon has its experimental features; null if it does not run.
      type: bool
      sample: true
    live_restore:
      description: Whether containers outlive a restart of the daemon.
      type: bool
      sample: false
    containers_running:
      description: Number of containers that ran before the task.
      type: int
      sample: 0
commands:
  description: Argument lists of the commands that change the host. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[systemctl, restart, docker.service]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(containers_running) if the daemon has to be restarted, containers run, and O(stop_containers) is not set.
    - V(config_broken) if C(daemon.json) is not JSON.
    - V(config_is_link) if C(daemon.json) is a symbolic link.
    - V(option_ineffective) if the daemon was restarted and still runs otherwise, as its command line may say.
    - V(engine_missing) if docker is not installed.
    - V(engine_mismatch) if the command docker is podman's.
    - V(answer_invalid) if the output of docker is not the expected one.
    - V(tool_failed) if the daemon did not start.
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(file_failed) if a file or folder could not be read or written.
    - V(disk_full) if no space is left on the file system of the file.
    - V(busy) if a different task has worked on the same file for a minute.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: containers_running
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /etc/docker/daemon.json
cmd:
  description: The command that failed, as a list.
  returned: failure of a command
  type: list
  elements: str
  sample: [systemctl, restart, docker.service]
rc:
  description: Exit status of the command.
  returned: failure of a command
  type: int
  sample: 1
stdout:
  description: The end of the output of the command.
  returned: failure of a command
  type: str
  sample: ""
stderr:
  description: The end of the error output of the command.
  returned: failure of a command
  type: str
  sample: Job for docker.service failed
cleanup_failed:
  description: Messages of the steps that failed as well when the task put the file back.
  returned: failure of the cleanup as well
  type: list
  elements: str
  sample: ["Cannot put back '/etc/docker/daemon.json': No space left on device. Free space on that file system."]
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.daemon import ensure

SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "stop_containers": {"type": "bool", "default": False},
}


def run(ctx: Context) -> Outcome:
    return ensure(ctx, ctx.params["state"], stop_containers=ctx.params["stop_containers"])


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
