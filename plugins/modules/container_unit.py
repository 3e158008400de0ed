#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: run a container as a service of systemd."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_unit
short_description: Run a container as a systemd service, which may keep its state over a restart
version_added: 0.1.0
description:
  - Turns one description of a container into a unit of systemd, checks the unit before it installs it, and starts,
    restarts or stops it.
  - Where podman has Quadlet, the unit is a C(.container) file. Older podman, from 4.0 on, gets a plain unit that does
    the same.
  - With O(stateful=true), stopping the unit checkpoints the container and starting it restores it, so that a restart of
    the unit or a reboot of the host keeps its state.
  - A running container is replaced only if something that it is made from has changed; a new description, dependency
    or restart policy is installed without.
options:
  name:
    description: Name of the container; the unit gets C(.service) added.
    type: str
    required: true
  state:
    description:
      - V(started) installs the unit and starts it; it restarts it if the container has to be made anew.
      - V(restarted) does the same and restarts it in any case.
      - V(stopped) installs the unit and stops it.
      - V(present) installs the unit and leaves it running or stopped. A restart that is due is made by the next task
        with V(started).
      - V(absent) stops the unit and removes it, its container and its checkpoints. Named volumes, images, networks and
        secrets stay.
    type: str
    choices: [started, stopped, restarted, present, absent]
    default: started
  enabled:
    description: Whether the unit is started at boot.
    type: bool
    default: true
  description:
    description: One line about the service. Without it, it is C(Container NAME).
    type: str
  image:
    description: The image, with its registry and tag or digest. Needed unless O(state=absent).
    type: str
  pull:
    description: When podman pulls the image, each time that the container is made.
    type: str
    choices: [missing, never, newer, always]
    default: missing
  command:
    description: The command and its arguments. It stands in the unit, which all users can read.
    type: list
    elements: str
    default: []
  entrypoint:
    description: The entry point and its arguments, instead of the image's.
    type: list
    elements: str
    default: []
  environment:
    description:
      - Environment variables. They go into a file that only root can read, never into the unit, a log or a diff.
      - A value is one line. For longer ones, and for secrets that have to be out of reach of C(podman inspect) too, use
        O(secrets).
    type: dict
    default: {}
  environment_files:
    description: Files with further variables, one C(NAME=VALUE) a line. A change of their content restarts nothing.
    type: list
    elements: path
    default: []
  secrets:
    description:
      - Secrets of podman that the container gets. They have to be there; C(containers.podman.podman_secret) makes them.
      - A change of a secret's value restarts nothing; use O(state=restarted) in a handler.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the secret.
        type: str
        required: true
      type:
        description: Whether it becomes a file, by default below C(/run/secrets), or a variable.
        type: str
        choices: [mount, env]
        default: mount
      target:
        description:
          - The file or the variable. Without it, the secret's name.
          - The file of an O(stateful) container needs a path outside of C(/run/secrets). Podman makes that folder anew
            at each boot, and CRIU would not find the place of the mount.
        type: str
  volumes:
    description: Folders and volumes that the container gets.
    type: list
    elements: dict
    default: []
    suboptions:
      source:
        description: Absolute path on the host, or the name of a volume of podman.
        type: str
        required: true
      target:
        description: Absolute path in the container.
        type: str
        required: true
      relabel:
        description:
          - The SELinux label that podman gives the content, V(private) for this container alone or V(shared) for all.
          - V(none) leaves the labels alone, as is right for volumes of podman.
        type: str
        choices: [private, shared, none]
        default: none
      read_only:
        description: Whether the container may only read it.
        type: bool
        default: false
      options:
        description: Further options of podman, such as V(U) or V(noexec).
        type: list
        elements: str
        default: []
  tmpfs:
    description: File systems in memory, each C(PATH) or C(PATH:OPTIONS).
    type: list
    elements: str
    default: []
  network:
    description:
      - V(host), V(none), V(bridge), or the name of a network that C(containers.podman.podman_network) has made.
      - In a Quadlet, C(NAME.network) means that file of Quadlet.
    type: str
    default: bridge
  ip:
    description: The container's address in its network.
    type: str
  publish:
    description: Ports, each as podman takes it, such as V(127.0.0.1:8080:80/tcp).
    type: list
    elements: str
    default: []
  hostname:
    description: Host name in the container.
    type: str
  user:
    description: User, or user and group, of the container's first process, such as V(33:33).
    type: str
  capabilities_add:
    description: Capabilities that the container gets in addition.
    type: list
    elements: str
    default: []
  capabilities_drop:
    description: Capabilities that the container does not get.
    type: list
    elements: str
    default: []
  security_options:
    description: Options for C(--security-opt) of podman, such as V(no-new-privileges).
    type: list
    elements: str
    default: []
  read_only:
    description: Whether the root file system of the container is read-only.
    type: bool
    default: false
  memory:
    description: Limit of memory, such as V(512m).
    type: str
  cpus:
    description: Limit of processors, such as V(1.5).
    type: float
  pids_limit:
    description: Limit of processes; V(-1) for none.
    type: int
  health:
    description: How podman finds out whether the container is well.
    type: dict
    suboptions:
      command:
        description: The command and its arguments, run in the container. One word alone is run by its shell.
        type: list
        elements: str
        required: true
      interval:
        description: Time between two checks, such as V(30s), or V(disable).
        type: str
      timeout:
        description: Time for one check.
        type: str
      retries:
        description: How many checks in a row have to fail.
        type: int
      start_period:
        description: Time after the start in which failures do not count.
        type: str
      on_failure:
        description: What podman does with a container that is not well. After V(kill), O(restart) applies.
        type: str
        choices: [none, kill, stop]
  after:
    description: Units after which this one starts, and before which it stops.
    type: list
    elements: str
    default: []
  requires:
    description: Units without which this one does not run. Add them to O(after) as well.
    type: list
    elements: str
    default: []
  wants:
    description: Units that are started with this one.
    type: list
    elements: str
    default: []
  restart:
    description: When systemd starts the container again after it has ended by itself.
    type: str
    choices: ["no", on-failure, always]
    default: on-failure
  restart_seconds:
    description: Seconds before that.
    type: int
    default: 5
  stop_timeout:
    description: Seconds that the container gets to end by itself before it is killed.
    type: int
    default: 10
  runtime:
    description: OCI runtime. Without it, podman's default.
    type: str
    choices: [runc, crun]
  log_driver:
    description: Where the container's output goes.
    type: str
    default: journald
  annotations:
    description: Annotations of the container.
    type: dict
    default: {}
  labels:
    description: Labels of the container.
    type: dict
    default: {}
  extra_arguments:
    description: Further options of C(podman create), each one word, such as V(--shm-size=64m).
    type: list
    elements: str
    default: []
  unit_kind:
    description:
      - V(auto) makes a Quadlet where podman has its generator and the unit is not stateful, else a plain unit.
    type: str
    choices: [auto, quadlet, plain]
    default: auto
  stateful:
    description: Whether stopping the unit checkpoints the container, and starting it restores it.
    type: bool
    default: false
  tcp_established:
    description: Take established TCP connections along in the checkpoint.
    type: bool
    default: false
  file_locks:
    description: Take file locks along in the checkpoint.
    type: bool
    default: false
  on_restore_failure:
    description:
      - What starting does if the restore fails. V(fresh) keeps the checkpoint aside and starts the container anew;
        V(refuse) fails and leaves the checkpoint where it is.
    type: str
    choices: [fresh, refuse]
    default: fresh
requirements:
  - Podman 4.0 or newer, of root; 4.4 or newer for Quadlet
  - systemd 245 or newer
  - For stateful units, what M(criu.hosts.container_checkpoint) requires
notes:
  - Needs root.
  - C(containers.podman.podman_container) and C(podman_quadlet) of that collection do not do this, as they check no unit
    before it is installed, put the environment into it, start nothing, and know no checkpoint.
  - The unit and the command line of podman can be read by all users. Secrets belong into O(environment) or O(secrets).
  - Values of O(environment) with less than eight characters, and those that another option has as well, are not taken
    for secrets in what else the task returns; no value is returned by the module itself.
  - Further reasons are V(name_invalid) (no name of a container), V(image_needed) (no O(image)), V(option_invalid) (an
    option that podman or systemd would refuse or misread; C(option) names it), V(options_conflict) (options that
    exclude each other), V(podman_missing) (no podman), V(quadlet_missing) (this podman has no Quadlet), V(unit_foreign)
    (a unit of that name was not made by this module), V(name_in_use) (a container of that name belongs to no unit of
    this module), V(unit_refused) (Quadlet's generator or C(systemd-analyze verify) does not take the unit),
    V(start_failed) (the unit does not start, or ends at once; C(journal) has what systemd and podman said) and
    V(rootless_unsupported) (not root).
extends_documentation_fragment:
  - criu.hosts._attributes
  - criu.hosts._unit
attributes:
  idempotent:
    support: partial
    details: With O(state=restarted), each run restarts the unit.
seealso:
  - module: criu.hosts.container_unit_info
  - module: criu.hosts.container_checkpoint
  - name: podman-systemd.unit(5)
    description: Quadlet.
    link: https://docs.podman.io/en/latest/markdown/podman-systemd.unit.5.html
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Run a web server as a service
  criu.hosts.container_unit:
    name: web
    image: docker.io/library/httpd:2.4
    publish: ["127.0.0.1:8080:80"]
    volumes:
      - source: /srv/web
        target: /usr/local/apache2/htdocs
        relabel: private
        read_only: true

- name: Run Redis and keep its memory over restarts and reboots
  criu.hosts.container_unit:
    name: redis
    image: docker.io/library/redis:7
    network: host
    memory: 512m
    stateful: true
    tcp_established: true

- name: Make a secret
  containers.podman.podman_secret:
    name: shop-password
    data: "{{ shop_password }}"
    state: present
    skip_existing: true
  no_log: true

- name: Run a shop that gets the secret as a variable and starts after its database
  criu.hosts.container_unit:
    name: shop
    image: registry.example.com/shop@sha256:2f0c7ebd2c5ba6d1d05f2bc0b1a3bd1a9f9ae4f0ad3bd52ad1cb03a1ed3c7f3e
    environment:
      SHOP_LANGUAGE: en
    secrets:
      - name: shop-password
        type: env
        target: SHOP_PASSWORD
    health:
      command: [/usr/bin/curl, --fail, "http://127.0.0.1:8000/health"]
      interval: 30s
      on_failure: kill
    after: [postgresql.service]
    requires: [postgresql.service]

- name: Remove a service
  criu.hosts.container_unit:
    name: web
    state: absent
"""

RETURN = r"""
changed:
  description: Whether something was, or would be, changed.
  returned: success
  type: bool
  sample: true
container_unit:
  description: The unit as read after the work; in check mode, as it would be.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the container; the unit has C(.service) added.
      type: str
      sample: web
    path:
      description: The file that was written; null if there is none.
      type: str
      sample: /etc/containers/systemd/web.container
    kind:
      description: V(quadlet) or V(plain); null if there is none.
      type: str
      sample: quadlet
    state:
      description: systemd's word for the unit, such as V(active), V(inactive) or V(failed).
      type: str
      sample: active
    enabled:
      description: Whether it is started at boot.
      type: bool
      sample: true
    main_pid:
      description: Its main process; null if there is none.
      type: int
      sample: 1207
    stateful:
      description: Whether it keeps the container's state.
      type: bool
      sample: false
    container:
      description: Name of the container.
      type: str
      sample: web
commands:
  description: The commands that changed, or would change, the host.
  returned: success
  type: list
  elements: list
  sample: [[systemctl, daemon-reload], [systemctl, start, web.service]]
journal:
  description: What systemd, podman and the program of a stateful unit said last; not the container's own output.
  returned: failure with reason start_failed
  type: list
  elements: str
  sample: ["Error: localhost/web:1: image not known"]
option:
  description: The option that was refused.
  returned: failure with reason option_invalid
  type: str
  sample: volumes.source
path:
  description: The file that is in the way.
  returned: failure with reason unit_foreign
  type: str
  sample: /usr/lib/systemd/system/ssh.service
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._unit.ensure import ensure


def texts() -> dict[str, Any]:
    return {"type": "list", "elements": "str", "default": []}


SECRETS = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "choices": ["mount", "env"], "default": "mount"},
    "target": {"type": "str"},
}
VOLUMES = {
    "source": {"type": "str", "required": True},
    "target": {"type": "str", "required": True},
    "relabel": {"type": "str", "choices": ["private", "shared", "none"], "default": "none"},
    "read_only": {"type": "bool", "default": False},
    "options": texts(),
}
HEALTH = {
    "command": {"type": "list", "elements": "str", "required": True},
    "interval": {"type": "str"},
    "timeout": {"type": "str"},
    "retries": {"type": "int"},
    "start_period": {"type": "str"},
    "on_failure": {"type": "str", "choices": ["none", "kill", "stop"]},
}
SPEC = {
    "name": {"type": "str", "required": True},
    "state": {
        "type": "str",
        "choices": ["started", "stopped", "restarted", "present", "absent"],
        "default": "started",
    },
    "enabled": {"type": "bool", "default": True},
    "description": {"type": "str"},
    "image": {"type": "str"},
    "pull": {"type": "str", "choices": ["missing", "never", "newer", "always"], "default": "missing"},
    "command": texts(),
    "entrypoint": texts(),
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "environment_files": {"type": "list", "elements": "path", "default": []},
    "secrets": {"type": "list", "elements": "dict", "default": [], "options": SECRETS, "no_log": False},
    "volumes": {"type": "list", "elements": "dict", "default": [], "options": VOLUMES},
    "tmpfs": texts(),
    "network": {"type": "str", "default": "bridge"},
    "ip": {"type": "str"},
    "publish": texts(),
    "hostname": {"type": "str"},
    "user": {"type": "str"},
    "capabilities_add": texts(),
    "capabilities_drop": texts(),
    "security_options": texts(),
    "read_only": {"type": "bool", "default": False},
    "memory": {"type": "str"},
    "cpus": {"type": "float"},
    "pids_limit": {"type": "int"},
    "health": {"type": "dict", "options": HEALTH},
    "after": texts(),
    "requires": texts(),
    "wants": texts(),
    "restart": {"type": "str", "choices": ["no", "on-failure", "always"], "default": "on-failure"},
    "restart_seconds": {"type": "int", "default": 5},
    "stop_timeout": {"type": "int", "default": 10},
    "runtime": {"type": "str", "choices": ["runc", "crun"]},
    "log_driver": {"type": "str", "default": "journald"},
    "annotations": {"type": "dict", "default": {}},
    "labels": {"type": "dict", "default": {}},
    "extra_arguments": texts(),
    "unit_kind": {"type": "str", "choices": ["auto", "quadlet", "plain"], "default": "auto"},
    "stateful": {"type": "bool", "default": False},
    "tcp_established": {"type": "bool", "default": False},
    "file_locks": {"type": "bool", "default": False},
    "on_restore_failure": {"type": "str", "choices": ["fresh", "refuse"], "default": "fresh"},
}


def run(ctx: Context) -> Outcome:
    """Read, plan, apply, read again."""
    value, plan = ensure(ctx, ctx.params)
    return Outcome("container_unit", value, plan)


def main() -> NoReturn:
    execute(run, private="environment", argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
