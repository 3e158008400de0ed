<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server: a replacement for tests that behaves like the image nextcloud:fpm, see lib/README.md.
declare(strict_types=1);

namespace StandIn;

/** Versions, settings, database and users, for every entry point. */
final class Server
{
    private ?\PDO $database = null;
    public readonly Config $config;
    public readonly string $version;
    public readonly string $versionString;

    public function __construct(public readonly string $root)
    {
        require $root . '/version.php';
        /** @var list<int> $OC_Version */
        $this->version = implode('.', $OC_Version);
        /** @var string $OC_VersionString */
        $this->versionString = $OC_VersionString;
        $this->config = new Config($root . '/config');
    }

    public function installed(): bool
    {
        return $this->config->get('installed') === true;
    }

    public function needsUpgrade(): bool
    {
        return $this->installed() && version_compare($this->version, (string) $this->config->get('version'), '>');
    }

    public function maintenance(): bool
    {
        return $this->config->get('maintenance') === true;
    }

    /** @return array<string, bool|string> */
    public function status(): array
    {
        return [
            'installed' => $this->installed(),
            'maintenance' => $this->maintenance(),
            'needsDbUpgrade' => $this->needsUpgrade(),
            'version' => $this->version,
            'versionstring' => $this->versionString,
            'edition' => '',
            'productname' => 'Nextcloud',
            'extendedSupport' => false,
        ];
    }

    public function data(): string
    {
        return (string) $this->config->get('datadirectory', $this->root . '/data');
    }

    public function database(): \PDO
    {
        return $this->database ??= self::connect(
            (string) $this->config->get('dbhost'),
            (string) $this->config->get('dbname'),
            (string) $this->config->get('dbuser'),
            (string) $this->config->get('dbpassword'),
            PHP_SAPI !== 'cli' && $this->config->get('dbpersistent') === true,
        );
    }

    public static function connect(string $host, string $name, string $user, string $password, bool $persistent): \PDO
    {
        $port = '';
        if (preg_match('/^([^\/]*):(\d+|\/.*)$/', $host, $found)) {
            // localhost:/run/postgresql is the folder of a socket, localhost:5433 a port
            [$host, $port] = $found[2][0] === '/' ? [$found[2], ''] : [$found[1], ";port=$found[2]"];
        }
        return new \PDO("pgsql:host=$host;dbname=$name$port", $user, $password, [
            \PDO::ATTR_ERRMODE => \PDO::ERRMODE_EXCEPTION,
            \PDO::ATTR_PERSISTENT => $persistent,
        ]);
    }

    /** @param list<scalar|null> $values */
    public function query(string $sql, array $values = []): \PDOStatement
    {
        $statement = $this->database()->prepare($sql);
        $statement->execute($values);
        return $statement;
    }

    public function appValue(string $app, string $key): ?string
    {
        $found = $this->query('SELECT configvalue FROM oc_appconfig WHERE appid = ? AND configkey = ?', [$app, $key]);
        $value = $found->fetchColumn();
        return $value === false ? null : (string) $value;
    }

    public function setAppValue(string $app, string $key, string $value): void
    {
        $this->query(
            'INSERT INTO oc_appconfig (appid, configkey, configvalue) VALUES (?, ?, ?) '
            . 'ON CONFLICT (appid, configkey) DO UPDATE SET configvalue = excluded.configvalue',
            [$app, $key, $value],
        );
    }

    public function authenticate(string $user, string $password): bool
    {
        $hash = $this->query('SELECT password FROM oc_users WHERE uid = ?', [$user])->fetchColumn();
        return is_string($hash) && password_verify($password, $hash);
    }

    public function addUser(string $user, string $password): void
    {
        $hash = password_hash($password, PASSWORD_BCRYPT, ['cost' => (int) $this->config->get('hashingCost', 8)]);
        $this->query(
            'INSERT INTO oc_users (uid, password) VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET password = excluded.password',
            [$user, $hash],
        );
        @mkdir($this->data() . "/$user/files", 0750, true);
    }

    public function redis(): ?\Redis
    {
        $settings = $this->config->get('redis');
        if (!is_array($settings) || !$this->config->has('memcache.locking')) {
            return null;
        }
        $redis = new \Redis();
        $host = (string) $settings['host'];
        $redis->connect($host, $host[0] === '/' ? 0 : (int) ($settings['port'] ?? 6379), 5.0);
        if (($settings['password'] ?? '') !== '') {
            $redis->auth($settings['password']);
        }
        return $redis;
    }
}
