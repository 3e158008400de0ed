<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server but a stand-in for tests, which keeps the contract of its image: see lib/README.md.
$CONFIG = ['memcache.local' => '\\OC\\Memcache\\APCu'];
