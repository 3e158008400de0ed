# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans the steps of a Nextcloud upgrade and finds its blockers. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_text, version_tuple

# The container writes the texts that are searched. Every repetition has a limit, and none may begin where the one
# before it could go on: so the time grows with the length of a text only, whatever it is.
_NUMBER, _BLANKS = "[0-9]{1,4}", r"[ \t\r\n]{0,99}"
_WANTED = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,4}){0,2}")
_OF_IMAGE = re.compile(rf"{_NUMBER}(?:\.{_NUMBER}){{1,2}}(?![0-9])")
_IN_FILE = re.compile(
    rf"\$OC_Version{_BLANKS}={_BLANKS}(?:array{_BLANKS}\(|\[){_BLANKS}"
    rf"({_NUMBER}(?:{_BLANKS},{_BLANKS}{_NUMBER}){{0,7}}){_BLANKS}(?:,{_BLANKS})?[\])]"
)
_APP_ID = re.compile(rf"<id>{_BLANKS}([A-Za-z0-9_-]{{1,99}}){_BLANKS}</id>")
_APP_UNTIL = re.compile(rf"\bmax-version{_BLANKS}={_BLANKS}[\"']([0-9]{{1,3}})")
# The copies need more space than the volumes: for the files of the next version and the index of the archive.
RESERVE_BYTES = 256 << 20


@dataclass(frozen=True)
class Image:
    """An image of the host. ``id`` is None if it is missing, ``version`` None if it does not name its version."""

    name: str
    id: str | None = None
    version: Version | None = None

    def view(self) -> dict[str, str | None]:
        return {"name": self.name, "id": self.id, "version": version_text(self.version) if self.version else None}


@dataclass(frozen=True)
class Refusal:
    """A blocker of the upgrade: a code and a message."""

    code: str
    message: str

    def view(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True)
class AppRange:
    """The name of an app and the last major version of Nextcloud that it supports; None if it names none."""

    name: str
    until: int | None


def parse_wanted(text: str) -> Version:
    """Parses a wanted version: 32, 32.0 or 32.0.1.

    Raises:
        CheckpointError: reason version_invalid.
    """
    if not _WANTED.fullmatch(text):
        raise CheckpointError(
            f"Cannot upgrade Nextcloud to {text!r}: this is not a version. Give a major version such as 32, or a full "
            "version such as 32.0.1.",
            reason="version_invalid",
        )
    return version_tuple(text)


def parse_version_file(text: str) -> Version | None:
    """Returns the version in Nextcloud's version.php; None if the text has none."""
    found = _IN_FILE.search(text)
    return tuple(int(number) for number in found.group(1).split(","))[:3] if found else None


def version_of_environment(environment: Sequence[str]) -> Version | None:
    """Returns the version in the environment of an image, as in the official image and images made from it."""
    for entry in environment:
        name, dummy_sign, value = entry.partition("=")
        found = _OF_IMAGE.match(value) if name == "NEXTCLOUD_VERSION" else None
        if found:
            return version_tuple(found.group())
    return None


def _without_comments(text: str) -> str:
    """Returns XML without its comments; one without an end reaches to the end of the text."""
    kept, position = [], 0
    while (begin := text.find("<!--", position)) >= 0:
        kept.append(text[position:begin])
        end = text.find("-->", begin + 4)
        if end < 0:
            return "".join(kept)
        position = end + 3
    return "".join([*kept, text[position:]])


def _elements(text: str, name: str) -> Iterator[str]:
    """Yields the attributes of the elements with this name."""
    position = 0
    while (begin := text.find(f"<{name}", position)) >= 0:
        end = text.find(">", begin)
        if end < 0:
            return
        attributes = text[begin + 1 + len(name) : end]
        if attributes[:1].isspace():
            yield attributes
        position = end


def parse_app(text: str) -> AppRange | None:
    """Returns the range of versions in an app's appinfo/info.xml; None if it is not such a file.

    The container can write the file, so an XML parser, which entities can overload, does not read it.
    """
    bare = _without_comments(text)
    name = _APP_ID.search(bare)
    ends = (_APP_UNTIL.search(attributes) for attributes in _elements(bare, "nextcloud"))
    until = next((int(end.group(1)) for end in ends if end), None)
    return AppRange(name.group(1), until) if name else None


def majors_to(present: Version, wanted: Version) -> list[int]:
    """Returns the major versions of the steps: only the present one for a minor upgrade, none if wanted is older."""
    if wanted[0] == present[0]:
        return [present[0]]
    return list(range(present[0] + 1, wanted[0] + 1))


def image_name(major: int, pattern: str, images: Mapping[str, str]) -> str:
    """Returns the image of a major version: its own if there is one, else that of the pattern."""
    return images.get(str(major)) or pattern.replace("{major}", str(major))


def check_order(present: Version, wanted: Version) -> Refusal | None:
    """Returns a blocker if the wanted version is older than the present one."""
    if wanted < present[: len(wanted)]:
        return Refusal(
            "downgrade",
            f"Nextcloud is {version_text(present)}, and {version_text(wanted)} is older: Nextcloud cannot be "
            "downgraded. Restore a backup of that version.",
        )
    return None


def check_image(present: Version, major: int, image: Image) -> Refusal | None:
    """Returns a blocker unless the image is one that may follow the version ``present``."""
    name = f"the image {image.name!r}"
    if image.id is None:
        return Refusal("image_missing", f"{name} for {major} is not on the host. Pull it, or let the role pull it.")
    if image.version is None:
        return Refusal(
            "image_version_unknown",
            f"{name} does not name its version (no NEXTCLOUD_VERSION in its environment). Build it from the official "
            "image.",
        )
    if image.version[0] > max(present[0] + 1, major):
        return Refusal(
            "major_skipped",
            f"{name} holds {version_text(image.version)}, and Nextcloud {version_text(present)} can only be upgraded "
            f"to {present[0] + 1}. Give an image of {major}.",
        )
    if image.version < present:
        return Refusal(
            "downgrade",
            f"{name} holds {version_text(image.version)}, which is older than {version_text(present)}: Nextcloud "
            f"cannot be downgraded. Give a newer image of {major}.",
        )
    if image.version[0] != major:
        return Refusal(
            "image_wrong",
            f"{name} holds {version_text(image.version)} and not {major}. Give an image of {major}.",
        )
    return None


def plan_steps(
    present: Version, wanted: Version, images: Mapping[int, Image]
) -> tuple[list[dict[str, Any]], list[Refusal]]:
    """Returns the steps from present to wanted, one for each major version, and the blockers."""
    older = check_order(present, wanted)
    if older is not None:
        return [], [older]
    steps: list[dict[str, Any]] = []
    refused: list[Refusal] = []
    before = present
    for major in majors_to(present, wanted):
        image = images[major]
        problem = check_image(before, major, image)
        if problem is not None:
            refused.append(problem)
        after = (image.version or (major,)) if problem is None else (major,)
        if after != before:
            steps.append(
                {"from": version_text(before), "to": version_text(after), "image": image.name, "image_id": image.id}
            )
        before = after
    if not refused and before[: len(wanted)] != wanted:
        name = images[wanted[0]].name
        refused.append(
            Refusal(
                "image_wrong",
                f"the image {name!r} holds {version_text(before)} and not {version_text(wanted)}. Give an image of "
                f"{version_text(wanted)}.",
            )
        )
    return steps, refused


def left_behind(apps: Sequence[AppRange], enabled: Sequence[str], wanted: Version) -> list[dict[str, Any]]:
    """Returns the enabled apps that do not support the wanted version: Nextcloud would disable them."""
    found = {app.name: app.until for app in apps if app.until is not None and app.until < wanted[0]}
    return [{"name": name, "until": found[name]} for name in sorted(found) if name in enabled]


def check_apps(apps: Sequence[Mapping[str, Any]], wanted: Version) -> Refusal | None:
    """Returns a blocker if apps would be disabled."""
    if not apps:
        return None
    names = ", ".join(f"{app['name']} (up to {app['until']})" for app in apps)
    return Refusal(
        "apps_incompatible",
        f"these apps do not support {wanted[0]} and would be disabled: {names}. Disable or update them first, or "
        "allow the upgrade to disable them (incompatible_apps).",
    )


def check_rollback(image: str, *, present: bool) -> Refusal | None:
    """Returns a blocker if the image that the container runs is gone: a rollback needs it."""
    if present:
        return None
    return Refusal("image_missing", f"the image {image[:12]} of the container is not on the host. Load it again.")


def check_space(path: str, needed_bytes: int, free_bytes: int) -> Refusal | None:
    """Returns a blocker if the disk has not enough space for the copies."""
    if free_bytes >= needed_bytes:
        return None
    return Refusal(
        "disk_full",
        f"the copies take up to {needed_bytes} bytes in {path!r} and {free_bytes} are free. Free space there.",
    )


@dataclass(frozen=True)
class Status:
    """What ``occ status`` reports; ``version`` is the text of the program's version."""

    installed: bool
    version: str
    needs_upgrade: bool
    maintenance: bool

    def view(self) -> dict[str, Any]:
        return dict(vars(self))


def parse_status(answer: Mapping[str, Any]) -> Status:
    """Returns the status in the JSON of ``occ status``, which may leave out what is false.

    Raises:
        ValueError: a value has another type.
    """
    flags = [answer.get(name, False) for name in ("installed", "needsDbUpgrade", "maintenance")]
    version = answer.get("versionstring", "")
    if not all(isinstance(flag, bool) for flag in flags) or not isinstance(version, str):
        raise ValueError("a value has another type than it should have")
    return Status(flags[0], version[:100], flags[1], flags[2])


def parse_enabled(answer: Mapping[str, Any]) -> list[str]:
    """Returns the names of the enabled apps in the JSON of ``occ app:list``. PHP writes an empty object as a list.

    Raises:
        ValueError: the apps are missing, or no object.
    """
    enabled = answer.get("enabled")
    if enabled == []:
        return []
    if not isinstance(enabled, dict):
        raise ValueError("it has no object 'enabled'")
    return list(enabled)


def check_status(status: Status | None, name: str) -> Refusal | None:
    """Returns a blocker unless occ reports a state to upgrade from; ``status`` is None for a stopped container."""
    if status is None:
        return Refusal(
            "container_not_running", f"the container {name!r} is not running, so occ cannot run. Start its unit."
        )
    if not status.installed:
        return Refusal("not_installed", f"Nextcloud in the container {name!r} is not installed. Install it first.")
    if status.needs_upgrade:
        return Refusal(
            "upgrade_pending",
            f"Nextcloud in the container {name!r} has an unfinished upgrade that this role did not start. Run 'occ "
            "upgrade' first.",
        )
    return None
