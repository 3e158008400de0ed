# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the services image: the base image plus web servers, databases and container images of PHP applications.

No registry is needed: the container images are made from Debian packages and from payload/nextcloud. The podman in the
root of the disk image loads them, so a machine finds them as if they had been pulled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

import image
from base import BUILD, HERE, digest, output, run, say
from image import NOT_IN_CONTAINERS, SUITE, chroot_argv, debootstrap, ensure_image, image_dir, remove_tree, seal

PREFIX = "image-services-"
PAYLOAD = HERE / "payload/nextcloud"
PACKAGES = "acl apache2 curl nginx-light openssl postgresql python3-psycopg2 redis-server rsync ssl-cert".split()
STOPPED = "apache2.service nginx.service postgresql.service redis-server.service".split()
PHP_PACKAGES = (
    "ca-certificates dash mediawiki nginx-light php8.4-apcu php8.4-cli php8.4-curl php8.4-fpm php8.4-gd php8.4-intl "
    "php8.4-mbstring php8.4-opcache php8.4-pgsql php8.4-readline php8.4-redis php8.4-xml php8.4-zip procps tzdata "
    "util-linux"
).split()
# PHP needs the settings of its modules and the time zones. nginx comes only as a dependency of mediawiki.
NOT_IN_PHP = (
    *(name for name in NOT_IN_CONTAINERS if name not in ("usr/share", "var/cache", "usr/lib/*/gconv")),
    *"usr/sbin/nginx usr/share/perl* usr/share/doc usr/share/man usr/share/locale".split(),
    *"usr/share/nginx var/cache/apt".split(),
)
MEDIAWIKI = ("etc/mediawiki", "usr/share/mediawiki", "var/lib/mediawiki")
# Tag -> full version of the test application
NEXTCLOUDS = {"30-fpm": "30.0.17.2", "31-fpm": "31.0.10.2", "32-fpm": "32.0.1.2"}
# Paths that the image nextcloud:fpm promises
LINKS = {
    "usr/local/bin/php": "/usr/bin/php8.4",
    "usr/local/sbin/php-fpm": "/usr/sbin/php-fpm8.4",
    "etc/php/8.4/fpm/php-fpm.conf": "/usr/local/etc/php-fpm.conf",
}
ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PHP_INI_DIR=/usr/local/etc/php",
    # Debian's own folder first, then the folder that nextcloud:fpm promises
    "PHP_INI_SCAN_DIR=:/usr/local/etc/php/conf.d",
    "PHP_MEMORY_LIMIT=512M",
    "PHP_UPLOAD_LIMIT=512M",
    "PHP_OPCACHE_MEMORY_CONSUMPTION=128",
)
PHP_CONFIG: dict[str, object] = {
    "Env": list(ENVIRONMENT),
    "Cmd": ["php-fpm"],
    "WorkingDir": "/var/www/html",
    "ExposedPorts": {"9000/tcp": {}},
    "StopSignal": "SIGQUIT",
}


@dataclass(frozen=True)
class Layer:
    """A tar file and its digest."""

    name: str
    digest: str


def payload_files() -> list[Path]:
    """Return the files of the application."""
    return sorted(path for path in PAYLOAD.rglob("*") if path.is_file())


def services_dir() -> Path:
    """Return the folder of the services image that belongs to the current sources; it may not exist yet."""
    names = [str(path.relative_to(PAYLOAD)) for path in payload_files()]
    return BUILD / f"{PREFIX}{digest([image_dir().name, *names], [Path(__file__), *payload_files()])}"


def ensure_services_image() -> Path:
    """Return the folder with disk.raw, vmlinuz and initrd.img of the services image; make it if it does not exist."""
    final = services_dir()
    if final.exists():
        return final
    base = ensure_image()
    php = ensure_php_root()
    part = BUILD / "services.part"
    remove_tree(part)
    part.mkdir()
    root = part / "root"
    add_packages(base / "root", root, PACKAGES, "installing web servers and databases on the base root, about 60 s")
    run("disabling services, systemctl in the root of the image", chroot_argv(root, ["systemctl", "disable", *STOPPED]))
    archive = root / "var/lib/lab/images.tar"
    write_archive(php, part / "layers", archive)
    load(root, archive)
    seal(root, part)
    for name in ("vmlinuz", "initrd.img"):
        os.link(base / name, part / name)
    for name in ("root", "layers"):
        remove_tree(part / name)
    os.replace(part, final)
    say(f"image {final.name} is ready")
    return final


def add_packages(base: Path, root: Path, packages: Sequence[str], what: str) -> None:
    """Make a root file system from the base one and more packages."""
    # mmdebstrap mounts the devices of this machine there before its hooks run: a copy of /dev would change them.
    copy = f'find {base} -mindepth 1 -maxdepth 1 ! -name dev -exec cp -a --reflink=auto -t "$1" {{}} +'
    run(
        what,
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=custom",
            *(f"--dpkgopt={option}" for option in image.SLIM),
            '--aptopt=Acquire::Retries "3"',
            f"--setup-hook={copy}",
            f"--include={','.join(packages)}",
            SUITE,
            str(root),
        ],
    )
    # mmdebstrap copies these files from this machine
    for name in ("etc/resolv.conf", "etc/hostname"):
        (root / name).write_text(image.FILES[name])
    shutil.copyfile(base / "etc/machine-id", root / "etc/machine-id")


def ensure_php_root() -> Path:
    """Return a root file system with PHP and mediawiki that is small enough for a container."""
    final = BUILD / f"phproot-{digest([SUITE, *PHP_PACKAGES, *NOT_IN_PHP])}"
    if final.exists():
        return final
    for old in BUILD.glob("phproot*"):
        remove_tree(old)
    part = BUILD / "phproot.part"
    debootstrap(
        part, SUITE, PHP_PACKAGES, "installing Debian with PHP for the containers, about 60 s", variant="essential"
    )
    for pattern in NOT_IN_PHP:
        for path in part.glob(pattern):
            remove_tree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    os.replace(part, final)
    return final


def write_archive(php: Path, scratch: Path, archive: Path) -> None:
    """Write an archive with all images for podman load; layers that they share are in it once."""
    scratch.mkdir()
    common = scratch / "common"
    shutil.copytree(PAYLOAD / "root", common, symlinks=True)
    (common / "var/www/html").mkdir(parents=True)
    for name, target in LINKS.items():
        (common / name).parent.mkdir(parents=True, exist_ok=True)
        (common / name).symlink_to(target)
    layers = {
        "php": pack(scratch, "php", php, ".", exclude=MEDIAWIKI),
        "common": pack(scratch, "common", common, "."),
        "mediawiki": pack(scratch, "mediawiki", php, *MEDIAWIKI),
    }
    shared = [layers["php"], layers["common"]]
    entries = [entry(scratch, "mediawiki-test:1.43-fpm", [*shared, layers["mediawiki"]], PHP_CONFIG)]
    for tag, version in NEXTCLOUDS.items():
        top = scratch / tag
        shutil.copytree(PAYLOAD / "src", top / "usr/src/nextcloud")
        (top / "usr/src/nextcloud/version.php").write_text(version_php(version))
        layer = pack(scratch, tag, top, ".")
        entries.append(entry(scratch, f"nextcloud-test:{tag}", [*shared, layer], nextcloud_config(version)))
    (scratch / "manifest.json").write_text(json.dumps(entries))
    names = sorted({"manifest.json", *(name for one in entries for name in (one["Config"], *one["Layers"]))})
    output(["tar", "--numeric-owner", "-C", str(scratch), "-cf", str(archive), *names])


def pack(scratch: Path, name: str, top: Path, *paths: str, exclude: tuple[str, ...] = ()) -> Layer:
    """Make a layer from a folder: root owns the files of this project, files of packages keep their owners."""
    target = scratch / f"{name}.tar"
    stable = ["--owner=0", "--group=0", "--mode=u+rwX,go+rX,go-w", "--mtime=@0", "--sort=name"]
    ours = stable if scratch in top.parents else []
    excludes = [f"--exclude=./{path}" for path in exclude]
    output(["tar", "--numeric-owner", *ours, *excludes, "-C", str(top), "-cf", str(target), *paths])
    with target.open("rb") as stream:
        return Layer(target.name, hashlib.file_digest(stream, "sha256").hexdigest())


def entry(scratch: Path, name: str, layers: list[Layer], config: dict[str, object]) -> dict[str, Any]:
    """Write the configuration of an image; return its entry for the manifest."""
    text = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in layers]},
        },
        sort_keys=True,
    )
    file = f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    (scratch / file).write_text(text)
    return {"Config": file, "RepoTags": [f"localhost/{name}"], "Layers": [layer.name for layer in layers]}


def nextcloud_config(version: str) -> dict[str, object]:
    """Return the configuration of an image of the application."""
    return {
        **PHP_CONFIG,
        "Env": [*ENVIRONMENT, f"NEXTCLOUD_VERSION={version.rpartition('.')[0]}"],
        "Entrypoint": ["/entrypoint.sh"],
        "Volumes": {"/var/www/html": {}},
    }


def version_php(version: str) -> str:
    """Return version.php in the form of the releases of Nextcloud server."""
    short, major = version.rpartition(".")[0], int(version.partition(".")[0])
    numbers = version.replace(".", ",")
    return (
        "<?php\n"
        f"$OC_Version = [{numbers}];\n"
        f"$OC_VersionString = '{short}';\n"
        "$OC_Edition = '';\n"
        "$OC_Channel = 'stable';\n"
        f"$OC_VersionCanBeUpgradedFrom = ['nextcloud' => ['{major - 1}.0' => true, '{major}.0' => true]];\n"
        "$vendor = 'nextcloud';\n"
    )


def load(root: Path, archive: Path) -> None:
    """Load the images with the podman of the root file system, and remove its traces from /run."""
    # podman remounts /, which must be a mount for that, and reads /sys to find the version of cgroups.
    script = 'mount --rbind "$1" "$1" && mount --rbind /sys "$1/sys" && exec chroot "$1" podman load -q -i "$2"'
    argv = ["sh", "-c", script, "sh", str(root), f"/{archive.relative_to(root)}"]
    run("loading the container images, podman in the root of the image", chroot_argv(root, argv, inside=False))
    archive.unlink()
    for path in (root / "run").iterdir():
        remove_tree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
