<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server: a replacement for tests that behaves like the image nextcloud:fpm, see lib/README.md.
$names = [
    'OVERWRITEHOST' => 'overwritehost',
    'OVERWRITEPROTOCOL' => 'overwriteprotocol',
    'OVERWRITECLIURL' => 'overwrite.cli.url',
    'OVERWRITEWEBROOT' => 'overwritewebroot',
    'OVERWRITECONDADDR' => 'overwritecondaddr',
];
foreach ($names as $variable => $name) {
    if (getenv($variable)) {
        $CONFIG[$name] = getenv($variable);
    }
}
if (getenv('TRUSTED_PROXIES')) {
    $CONFIG['trusted_proxies'] = array_filter(array_map('trim', explode(' ', getenv('TRUSTED_PROXIES'))));
}
