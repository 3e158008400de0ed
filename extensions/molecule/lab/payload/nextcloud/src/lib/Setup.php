<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server: a replacement for tests that behaves like the image nextcloud:fpm, see lib/README.md.
declare(strict_types=1);

namespace StandIn;

/** Installation, and upgrades by one major version. */
final class Setup
{
    /** The SQL statements that migrate the database to each major version. */
    private const MIGRATIONS = [
        30 => [
            'CREATE TABLE oc_appconfig (appid text, configkey text, configvalue text, PRIMARY KEY (appid, configkey))',
            'CREATE TABLE oc_users (uid text PRIMARY KEY, password text NOT NULL)',
            'CREATE TABLE oc_jobs (id serial PRIMARY KEY, class text NOT NULL, last_run bigint NOT NULL DEFAULT 0)',
            'CREATE TABLE oc_filecache (path text PRIMARY KEY, size bigint NOT NULL, checksum text NOT NULL)',
            "INSERT INTO oc_jobs (class) VALUES ('OC\\Lab\\CountFiles')",
        ],
        31 => [
            'ALTER TABLE oc_filecache ADD COLUMN upload_time bigint NOT NULL DEFAULT 0',
            "INSERT INTO oc_jobs (class) VALUES ('OC\\Lab\\CountUsers')",
        ],
        32 => [
            'CREATE TABLE oc_sec_signatory (id serial PRIMARY KEY, account text)',
            'ALTER TABLE oc_users ADD COLUMN uid_lower text',
            'UPDATE oc_users SET uid_lower = lower(uid)',
        ],
    ];

    public function __construct(private Server $server)
    {
    }

    private function major(): int
    {
        return (int) $this->server->version;
    }

    /** @param array<string, string> $options */
    public function install(array $options): void
    {
        $config = $this->server->config;
        $database = Server::connect(
            $options['database-host'],
            $options['database-name'],
            $options['database-user'],
            $options['database-pass'],
            false,
        );
        $database = null;
        @mkdir($options['data-dir'], 0770, true);
        if (!is_writable($options['data-dir'])) {
            throw new \RuntimeException("Cannot create or write into the data directory {$options['data-dir']}");
        }
        touch($options['data-dir'] . '/.ocdata');
        $config->set([
            'passwordsalt' => bin2hex(random_bytes(15)),
            'secret' => bin2hex(random_bytes(24)),
            'trusted_domains' => ['localhost'],
            'datadirectory' => $options['data-dir'],
            'dbtype' => 'pgsql',
            'version' => $this->server->version,
            'overwrite.cli.url' => $config->get('overwrite.cli.url', 'http://localhost'),
            'dbname' => $options['database-name'],
            'dbhost' => $options['database-host'],
            'dbport' => '',
            'dbtableprefix' => 'oc_',
            'dbuser' => $options['database-user'],
            'dbpassword' => $options['database-pass'],
            'dbpersistent' => $config->get('dbpersistent', true),
            'instanceid' => 'oc' . bin2hex(random_bytes(5)),
        ]);
        foreach (array_keys(self::MIGRATIONS) as $major) {
            if ($major <= $this->major()) {
                $this->migrate($major);
            }
        }
        $this->server->addUser($options['admin-user'], $options['admin-pass']);
        $this->server->setAppValue('core', 'backgroundjobs_mode', 'ajax');
        $this->server->setAppValue('core', 'installedat', (string) time());
        $config->set(['installed' => true]);
    }

    private function migrate(int $major): void
    {
        foreach (self::MIGRATIONS[$major] as $number => $statement) {
            $this->server->database()->exec($statement);
            if ($number === 0 && $this->broken()) {
                throw new \RuntimeException("Database error when running migration $major for app core: broken on purpose");
            }
        }
    }

    /** Returns whether a test of the rollback wants the upgrade to fail half-way. */
    private function broken(): bool
    {
        return getenv('NEXTCLOUD_TEST_BREAK') === 'upgrade' || is_file($this->server->data() . '/.break-upgrade');
    }

    /** Returns the exit status. */
    public function upgrade(callable $say): int
    {
        $server = $this->server;
        $from = (string) $server->config->get('version');
        if (!$server->needsUpgrade()) {
            $down = version_compare($server->version, $from, '<');
            $say($down ? 'Downgrading is not supported' : 'Nextcloud is already latest version');
            return $down ? 5 : 0;
        }
        if ($this->major() > (int) $from + 1) {
            $say('Exception: Updates between multiple major versions are unsupported.');
            return 5;
        }
        $say('Setting log level to debug');
        $server->config->set(['maintenance' => true]);
        $say('Turned on maintenance mode');
        $say('Updating database schema');
        try {
            for ($major = (int) $from + 1; $major <= $this->major(); ++$major) {
                $this->migrate($major);
            }
        } catch (\Exception $error) {
            $say(get_class($error) . ': ' . $error->getMessage());
            $say('Update failed');
            return 1;
        }
        $say('Updated database');
        $server->config->set(['version' => $server->version]);
        $say("Starting code integrity check...\nFinished code integrity check");
        $say('Update successful');
        $server->config->set(['maintenance' => false]);
        $say("Turned off maintenance mode\nResetting log level");
        return 0;
    }
}
