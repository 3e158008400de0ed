#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a container as a systemd service."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_unit
short_description: Run a container as a systemd service that can keep its state across restarts
version_added: 0.1.0
description:
  - Makes a systemd unit from the description of a container, checks the unit before it installs it, and starts,
    restarts or stops it.
  - If Podman has Quadlet, the unit is a C(.container) file. Older Podman, from 4.0 on, gets a plain unit that does the
    same.
  - With O(stateful=true), stopping the unit checkpoints the container and starting it restores it, so the container
    keeps its state when the unit is restarted or the host reboots.
  - A running container is replaced only if the container itself must change. A new description, dependency or restart
    policy is installed without a restart.
options:
  name:
    description: Name of the container. The name of the unit is this name with C(.service).
    type: str
    required: true
  state:
    description:
      - V(started) installs the unit and starts it. It restarts the unit if the container must be recreated.
      - V(restarted) does the same and always restarts the unit.
      - V(stopped) installs the unit and stops it.
      - V(present) installs the unit and leaves it running or stopped. If a restart is needed, the next task with
        V(started) does it.
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
    description: Description of the service, one line. The default is C(Container NAME).
    type: str
  image:
    description: The image, with its registry and its tag or digest. Required unless O(state=absent).
    type: str
  pull:
    description: When Podman pulls the image. It decides each time it creates the container.
    type: str
    choices: [missing, never, newer, always]
    default: missing
  command:
    description: The command and its arguments. They are part of the unit, which all users can read.
    type: list
    elements: str
    default: []
  entrypoint:
    description: The entry point and its arguments. They replace the entry point of the image.
    type: list
    elements: str
    default: []
  environment:
    description:
      - Environment variables. They are stored in a file that only root can read, never in the unit, a log or a diff.
      - A value is one line. For longer values, and for secrets that C(podman inspect) must not show, use O(secrets).
    aliases: [env]
    type: dict
    default: {}
  environment_files:
    description: Files with more variables, one C(NAME=VALUE) per line. A change of their content restarts nothing.
    type: list
    elements: path
    default: []
  secrets:
    description:
      - Podman secrets that the container gets. They must exist; C(containers.podman.podman_secret) creates them.
      - A change of the value of a secret restarts nothing. Use O(state=restarted) in a handler for that.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the secret.
        type: str
        required: true
      type:
        description: V(mount) makes the secret a file, by default below C(/run/secrets), V(env) a variable.
        type: str
        choices: [mount, env]
        default: mount
      target:
        description:
          - The file or the variable. The default is the name of the secret.
          - The file of an O(stateful) container needs a path outside C(/run/secrets). Podman recreates that folder at
            each boot, so CRIU would not find the mount point.
        type: str
  volumes:
    description:
      - Folders of the host and Podman volumes that the container gets.
      - Each one is a dictionary with the following keys, or a string V(SOURCE:TARGET) or V(SOURCE:TARGET:OPTIONS).
      - The options of a string are separated by commas. V(Z) means O(volumes[].relabel=private), V(z)
        O(volumes[].relabel=shared), V(ro) O(volumes[].read_only=true), V(rw) the default. All others are
        O(volumes[].options).
    type: list
    elements: raw
    default: []
    suboptions:
      source:
        description: Absolute path on the host, or the name of a Podman volume.
        type: str
        required: true
      target:
        description: Absolute path in the container.
        type: str
        required: true
      relabel:
        description:
          - The SELinux label that Podman gives the content. V(private) is for this container alone, V(shared) for all
            containers.
          - V(none) leaves the labels alone, which is right for Podman volumes.
        type: str
        choices: [private, shared, none]
        default: none
      read_only:
        description: Whether the container may only read it.
        type: bool
        default: false
      options:
        description: More options of Podman, such as V(U) or V(noexec).
        type: list
        elements: str
        default: []
  tmpfs:
    description: File systems in memory, each V(PATH) or V(PATH:OPTIONS).
    type: list
    elements: str
    default: []
  network:
    description:
      - V(host), V(none), V(bridge), or the name of a network that C(containers.podman.podman_network) has created.
      - In a Quadlet, V(NAME.network) refers to the Quadlet file of that name.
    type: str
    default: bridge
  ip:
    description: IP address of the container in its network.
    type: str
  publish:
    description: Ports to publish, in the syntax of Podman, such as V(127.0.0.1:8080:80/tcp).
    aliases: [ports]
    type: list
    elements: str
    default: []
  hostname:
    description: Host name in the container.
    type: str
  user:
    description: User, or user and group, of the first process of the container, such as V(33:33).
    type: str
  capabilities_add:
    description: Capabilities that the container gets in addition to the default ones.
    aliases: [cap_add]
    type: list
    elements: str
    default: []
  capabilities_drop:
    description: Capabilities that the container does not get.
    aliases: [cap_drop]
    type: list
    elements: str
    default: []
  security_options:
    description: Values for C(--security-opt) of Podman, such as V(no-new-privileges).
    aliases: [security_opt]
    type: list
    elements: str
    default: []
  read_only:
    description: Whether the root file system of the container is read-only.
    type: bool
    default: false
  memory:
    description: Memory limit, such as V(512m).
    type: str
  cpus:
    description: CPU limit, such as V(1.5).
    type: float
  pids_limit:
    description: Limit for the number of processes; V(-1) means unlimited.
    type: int
  health:
    description:
      - The health check of the container.
      - Podman makes no health checks after a restore. The start of a unit with O(stateful) lets podman make them again.
    type: dict
    suboptions:
      command:
        description: The command and its arguments. It runs in the container; a single word is run by the shell there.
        type: list
        elements: str
        required: true
      interval:
        description: Time between two health checks, such as V(30s), or V(disable).
        type: str
      timeout:
        description: Timeout of one health check.
        type: str
      retries:
        description: Number of consecutive failures after which the container counts as unhealthy.
        type: int
      start_period:
        description: Time after the start during which failures do not count.
        type: str
      on_failure:
        description: What Podman does with an unhealthy container. After V(kill), O(restart) applies.
        type: str
        choices: [none, kill, stop]
  after:
    description: Units after which this unit starts, and before which it stops.
    type: list
    elements: str
    default: []
  requires:
    description: Units that this unit requires. List them in O(after) as well.
    type: list
    elements: str
    default: []
  wants:
    description: Units that are started together with this unit.
    type: list
    elements: str
    default: []
  restart:
    description: When systemd restarts a container that has ended on its own.
    type: str
    choices: ["no", on-failure, always]
    default: on-failure
  restart_seconds:
    description: Seconds to wait before a restart.
    type: int
    default: 5
  stop_timeout:
    description: Seconds to wait for the container to stop before it is killed.
    type: int
    default: 10
  runtime:
    description: OCI runtime. The default is Podman's.
    type: str
    choices: [runc, crun]
  log_driver:
    description: Podman's log driver for the output of the container.
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
    description: More options for C(podman create), one per list entry, such as V(--shm-size=64m).
    type: list
    elements: str
    default: []
  unit_kind:
    description:
      - The kind of unit. V(auto) makes a Quadlet if Podman's generator is installed and the unit is not stateful, else
        a plain unit.
    type: str
    choices: [auto, quadlet, plain]
    default: auto
  stateful:
    description:
      - Whether stopping the unit checkpoints the container, and starting the unit restores it.
      - If the source in O(volumes) is a symbolic link, the container gets the path that it leads to, because CRIU
        cannot restore a mount of a link. When the link leads elsewhere, the next task restarts the container with the
        new path.
      - A warning names file systems that are mounted below a source, if the OCI runtime is runc, which would unmount
        them from the host in a restore. The unit does not run such a restore.
    type: bool
    default: false
  tcp_established:
    description: Whether the checkpoint includes established TCP connections.
    type: bool
    default: false
  file_locks:
    description: Whether the checkpoint includes file locks.
    type: bool
    default: false
  on_restore_failure:
    description:
      - What a start does if the restore fails. V(fresh) puts the checkpoint aside and starts the container without its
        state. V(refuse) fails and leaves the checkpoint in place.
      - A host that cannot write before the restore begins (C(disk_full), C(file_failed)) has lost nothing. The start
        fails with either value, and the next one restores.
      - If an AppArmor profile of the container is not loaded, and Podman cannot load it, the start fails and leaves the
        checkpoint in place in any case.
    type: str
    choices: [fresh, refuse]
    default: fresh
requirements:
  - Podman 4.0 or newer, rootful; 4.4 or newer for Quadlet
  - systemd 245 or newer
  - For stateful units, the requirements of M(criu.hosts.container_checkpoint)
notes:
  - Needs root.
  - C(containers.podman.podman_container) and C(containers.podman.podman_quadlet) do not replace this module. They check
    no unit before they install it, write the environment into the unit, start nothing and do not handle checkpoints.
  - All users can read the unit and the command line of Podman. Put secrets into O(environment) or O(secrets).
  - In check mode, the unit is not checked by Quadlet's generator or C(systemd-analyze verify), which are listed in
    RV(commands). Both read files only, and check mode writes none, so a unit that they reject fails in a real run only.
  - The digest that identifies the container of a stateful unit is made with a key of the host,
    C(/var/lib/criu-hosts/digest.key). If that file is lost, each stateful unit changes once and its container is
    replaced at the next restart, without its state.
  - Values of O(environment) with fewer than eight characters, and values that another option has too, are not masked in
    the rest of the result. The module itself returns no value of O(environment).
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
    volumes: ["/srv/web:/usr/local/apache2/htdocs:Z,ro"]

- name: Run Redis and keep its memory across restarts and reboots
  criu.hosts.container_unit:
    name: redis
    image: docker.io/library/redis:7
    network: host
    memory: 512m
    stateful: true
    tcp_established: true

- name: Create a secret
  containers.podman.podman_secret:
    name: shop-password
    data: "{{ shop_password }}"
    state: present
    skip_existing: true
  no_log: true

- name: Run a shop that gets the secret as a variable, keeps its files on the host and starts after its database
  criu.hosts.container_unit:
    name: shop
    image: registry.example.com/shop@sha256:2f0c7ebd2c5ba6d1d05f2bc0b1a3bd1a9f9ae4f0ad3bd52ad1cb03a1ed3c7f3e
    environment:
      SHOP_LANGUAGE: en
    secrets:
      - name: shop-password
        type: env
        target: SHOP_PASSWORD
    volumes:
      - source: /srv/shop
        target: /data
        relabel: private
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
  description: Whether anything was changed, or would be in check mode.
  returned: success
  type: bool
  sample: true
container_unit:
  description: The unit as read after the change; in check mode, as predicted.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the container. The name of the unit is this name with C(.service).
      type: str
      sample: web
    path:
      description: The file of the unit; null if there is none.
      type: str
      sample: /etc/containers/systemd/web.container
    kind:
      description: V(quadlet) or V(plain); null if there is none.
      type: str
      sample: quadlet
    state:
      description: State of the unit in systemd, such as V(active), V(inactive) or V(failed).
      type: str
      sample: active
    enabled:
      description: Whether the unit is started at boot.
      type: bool
      sample: true
    main_pid:
      description: Process id of its main process; null if there is none.
      type: int
      sample: 1207
    stateful:
      description: Whether the unit keeps the state of the container.
      type: bool
      sample: false
    container:
      description: Name of the container.
      type: str
      sample: web
commands:
  description: The commands that changed the host, or would in check mode.
  returned: success
  type: list
  elements: list
  sample: [[systemctl, daemon-reload], [systemctl, start, web.service]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(image_needed) if O(image) is missing.
    - V(name_invalid) if O(name) cannot be the name of a container.
    - V(option_invalid) if podman or systemd would refuse or misread a value; see RV(option).
    - V(options_conflict) if two options exclude each other.
    - V(rootless_unsupported) if the task does not run as root.
    - V(podman_missing) if podman is not installed.
    - V(health_not_kept) if O(health) and O(stateful) are set and podman is 5.1, 5.2 or 5.3, which cannot check the
      health of a restored container.
    - V(quadlet_missing) if O(unit_kind=quadlet) and this podman has no Quadlet.
    - V(name_in_use) if a container with this name does not belong to a unit of this module.
    - V(unit_foreign) if a unit with this name was not made by this module; see RV(path).
    - V(unit_text_invalid) if a text cannot be written into a unit of systemd.
    - V(unit_refused) if Quadlet's generator or C(systemd-analyze verify) rejects the unit.
    - V(start_failed) if the unit does not start, or ends at once; see RV(journal).
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be read or written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(busy) if another task works on the unit or on its container and does not end in time.
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(systemd_missing) if systemd does not run on the host.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: start_failed
journal:
  description: The last messages of systemd, Podman and the program of a stateful unit, without the container's output.
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
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /usr/lib/systemd/system/ssh.service
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [systemctl, start, web.service]
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
  sample: "Job for web.service failed."
cleanup_failed:
  description: Messages of the steps that failed as well when the task cleaned up.
  returned: failure of the cleanup as well
  type: list
  elements: str
  sample: []
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._unit.ensure import ensure


def texts(*aliases: str) -> dict[str, Any]:
    """Returns the specification of an option that is a list of texts."""
    option: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    return {**option, "aliases": list(aliases)} if aliases else option


SECRETS = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "choices": ["mount", "env"], "default": "mount"},
    "target": {"type": "str"},
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
    "environment": {"type": "dict", "default": {}, "aliases": ["env"], "no_log": True},
    "environment_files": {"type": "list", "elements": "path", "default": []},
    "secrets": {"type": "list", "elements": "dict", "default": [], "options": SECRETS, "no_log": False},
    "volumes": {"type": "list", "elements": "raw", "default": []},
    "tmpfs": texts(),
    "network": {"type": "str", "default": "bridge"},
    "ip": {"type": "str"},
    "publish": texts("ports"),
    "hostname": {"type": "str"},
    "user": {"type": "str"},
    "capabilities_add": texts("cap_add"),
    "capabilities_drop": texts("cap_drop"),
    "security_options": texts("security_opt"),
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
    """Brings the unit to the wanted state."""
    value, plan, warnings = ensure(ctx, ctx.params)
    return Outcome("container_unit", value, plan, warnings=warnings)


def main() -> NoReturn:
    execute(run, private="environment", argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
