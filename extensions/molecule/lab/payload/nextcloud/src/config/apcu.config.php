<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server: a replacement for tests that behaves like the image nextcloud:fpm, see lib/README.md.
$CONFIG = ['memcache.local' => '\\OC\\Memcache\\APCu'];
