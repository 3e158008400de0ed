<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server: a replacement for tests that behaves like the image nextcloud:fpm, see lib/README.md.
if (getenv('REDIS_HOST')) {
    $password = getenv('REDIS_HOST_PASSWORD') ?: '';
    if (getenv('REDIS_HOST_PASSWORD_FILE')) {
        $password = trim((string) file_get_contents(getenv('REDIS_HOST_PASSWORD_FILE')));
    }
    $CONFIG = [
        'memcache.distributed' => '\\OC\\Memcache\\Redis',
        'memcache.locking' => '\\OC\\Memcache\\Redis',
        'redis' => [
            'host' => getenv('REDIS_HOST'),
            'password' => (string) $password,
        ],
    ];
    if (getenv('REDIS_HOST_PORT')) {
        $CONFIG['redis']['port'] = (int) getenv('REDIS_HOST_PORT');
    } elseif (getenv('REDIS_HOST')[0] !== '/') {
        $CONFIG['redis']['port'] = 6379;
    }
}
