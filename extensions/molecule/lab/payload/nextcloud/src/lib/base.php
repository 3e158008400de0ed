<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server: a replacement for tests that behaves like the image nextcloud:fpm, see lib/README.md.
declare(strict_types=1);

foreach (['Config', 'Server', 'Setup', 'Console', 'Web', 'Files'] as $name) {
    require_once __DIR__ . "/$name.php";
}
