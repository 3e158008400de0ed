# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the options of container_checkpoint and container_restore, and holds them as one value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._store.encryption import Encryption

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
# What container_checkpoint and container_restore have both.
SHARED_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "archive_path": {"type": "path"},
    "store": {"type": "path"},
    "engine": {"type": "str", "choices": ["podman"], "default": "podman"},
    "tcp_established": {"type": "bool", "default": False},
    "file_locks": {"type": "bool", "default": False},
    "ignore_rootfs": {"type": "bool", "default": False},
    "ignore_volumes": {"type": "bool", "default": False},
    "keep": {"type": "bool", "default": False},
}
FLAGS = ("tcp_established", "file_locks", "ignore_rootfs", "ignore_volumes", "keep")
_WORDS = (
    *("state", "on_label_mismatch", "shared_categories", "when", "store", "checkpoint", "why"),
    *("signing_key", "decryption_key"),
)
# The image that a task makes or removes, and the one that it restores.
_IMAGES = ("create_image", "image")
# What only container_restore has.
RESTORE_FLAGS = ("tcp_close", "ignore_static_ip", "ignore_static_mac")
CHAIN_FLAGS = ("pre_checkpoint", "with_previous")
# A pre-checkpoint has none of what they leave out.
_LEFT_OUT = ("ignore_rootfs", "ignore_volumes")
# The levels of each compression.
LEVELS = {"none": range(0), "gzip": range(1, 10), "zstd": range(1, 20)}


@dataclass(frozen=True)
class Desired:
    """The options of a task on the container ``name``. Without ``archive_path`` and ``store`` it works in place.

    ``max_age``: how many seconds old an archive of a running container may be; None for any age. ``when`` is changed or
    always. With ``store``, ``archive_path`` is set when the real name of the container is known. ``checkpoint`` is the
    id of the one to restore, or latest; ``why`` the text of the one to make. ``signing_key`` and ``decryption_key`` are
    paths of files. ``image`` is the full name of the image to make or to restore.
    """

    name: str
    archive_path: str | None
    options: Options
    state: str = "present"
    new_name: str | None = None
    on_label_mismatch: str = "stop"
    shared_categories: str = "refuse"
    max_age: int | None = None
    when: str = "changed"
    store: str | None = None
    checkpoint: str | None = None
    why: str = ""
    encryption: Encryption | None = None
    signing_key: str | None = None
    decryption_key: str | None = None
    image: str | None = None

    @property
    def suffix(self) -> str:
        """What the name of the archive to make ends with; empty if it is not to be encrypted."""
        return self.encryption.suffix if self.encryption is not None else ""

    @property
    def place(self) -> str | None:
        """Where the checkpoint is kept, for messages: the archive, the image or the store; None in place."""
        return self.store or self.origin

    @property
    def origin(self) -> str | None:
        """What a restore is from: the image, or the path of the archive; None in place."""
        return self.image or self.archive_path

    @property
    def target(self) -> str:
        """The name of the container that runs after a restore."""
        return self.new_name or self.name


def desired_of(params: Mapping[str, Any]) -> Desired:
    """Checks the rules that an argument spec cannot express."""
    for option in ("name", "new_name"):
        value = params.get(option)
        if value is not None and not NAME.match(value):
            raise CheckpointError(
                f"Refuse {option} {value!r}: a container's name has letters, digits, '_', '.' and '-', and starts "
                "with a letter or digit. Give such a name.",
                reason="name_invalid",
            )
    if params.get("new_name") and params["tcp_established"]:
        raise CheckpointError(
            f"Cannot restore container {params['name']!r} as {params['new_name']!r} with tcp_established: established "
            "connections belong to the one container. Leave out new_name or tcp_established, or set tcp_close instead "
            "to close them.",
            reason="new_name_with_tcp",
        )
    options = _options(params)
    words = {key: params[key] for key in _WORDS if params.get(key) is not None}
    if params.get("max_age") is not None:
        # Few tasks have it: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.age import parse_max_age

        words["max_age"] = parse_max_age(params["max_age"])
    if "store" in words or "max_age" in words or words.get("when") == "always":
        # Few tasks have these: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.store_options import check_store_options

        check_store_options(params)
    words.update(_image(params))
    if params.get("encrypt_to"):
        # Few tasks encrypt: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.secure import encryption_in

        words["encryption"] = encryption_in(params)
    return Desired(params["name"], params["archive_path"], options, new_name=params.get("new_name"), **words)


def _options(params: Mapping[str, Any]) -> Options:
    memory_only = params.get("pre_checkpoint", False)
    if memory_only or params.get("with_previous"):
        # Few tasks have these: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.chain_options import check_chain_options

        check_chain_options(params)
    return Options(
        **{flag: params[flag] or (memory_only and flag in _LEFT_OUT) for flag in FLAGS},
        leave_running=params.get("leave_running", False) and not memory_only,
        compression=params.get("compression", "zstd"),
        compression_level=_level(params),
        **{flag: params.get(flag, False) for flag in (*RESTORE_FLAGS, *CHAIN_FLAGS)},
        publish=tuple(params.get("publish") or ()),
    )


def _image(params: Mapping[str, Any]) -> dict[str, str]:
    option = next((one for one in _IMAGES if params.get(one) is not None), None)
    if option is None:
        return {}
    # Few tasks have an image: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.image_options import image_in

    return {"image": image_in(params, option)}


def _level(params: Mapping[str, Any]) -> int | None:
    level, kind = params.get("compression_level"), params.get("compression", "zstd")
    if level is not None and level not in LEVELS[kind]:
        known = LEVELS[kind]
        why = f"{kind} has the levels {known[0]} to {known[-1]}" if known else f"compression is {kind}"
        raise CheckpointError(
            f"Cannot use compression_level {level}: {why}. Give one of these, or leave it out.",
            reason="option_invalid",
            option="compression_level",
        )
    return level


def require_abilities(engine: Engine, desired: Desired) -> None:
    """Refuses what the engine cannot do, before anything is touched.

    Raises:
        CheckpointError: ability_missing.
    """
    abilities, options = engine.abilities, desired.options
    wanted = (
        ("archive_path", desired.archive_path is not None, abilities.archive),
        ("store", desired.store is not None, abilities.archive),
        ("an image", desired.image is not None, abilities.image),
        ("encrypt_to", desired.encryption is not None, abilities.pipe),
        ("a checkpoint in place", desired.place is None, abilities.in_place),
        ("new_name", desired.new_name is not None, abilities.new_name),
        ("leave_running", options.leave_running, abilities.leave_running),
        ("tcp_established", options.tcp_established, abilities.tcp_established),
        ("file_locks", options.file_locks, abilities.file_locks),
        ("pre_checkpoint", options.pre_checkpoint, abilities.pre_dump),
        ("with_previous", options.with_previous, abilities.pre_dump),
        ("tcp_close", options.tcp_close, abilities.tcp_close),
        ("publish", bool(options.publish), abilities.publish),
        ("ignore_static_ip", options.ignore_static_ip, abilities.ignore_static_ip),
        ("ignore_static_mac", options.ignore_static_mac, abilities.ignore_static_mac),
    )
    missing = [name for name, asked, able in wanted if asked and not able]
    if missing:
        raise CheckpointError(
            f"Cannot use {missing[0]} for container {desired.name!r}: the engine {engine.name!r} does not have it. "
            f"{'Give archive_path.' if missing[0].startswith('a ') else 'Leave it out.'}",
            reason="ability_missing",
        )
