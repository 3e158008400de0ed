<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server: a replacement for tests that behaves like the image nextcloud:fpm, see lib/README.md.
declare(strict_types=1);

namespace StandIn;

/** The commands of occ that manage a host. */
final class Console
{
    /** @var list<string> */
    private array $words = [];
    /** @var array<string, string> */
    private array $options = [];

    public function __construct(private Server $server)
    {
    }

    /** @param list<string> $arguments */
    public function run(array $arguments): int
    {
        foreach ($arguments as $argument) {
            if (preg_match('/^--?([a-zA-Z][\w-]*)(?:=(.*))?$/s', $argument, $found)) {
                $this->options[$found[1]] = $found[2] ?? '';
            } else {
                $this->words[] = $argument;
            }
        }
        $command = array_shift($this->words) ?? 'list';
        if (isset($this->options['V']) || isset($this->options['version'])) {
            return $this->say('Nextcloud ' . $this->server->versionString);
        }
        $refused = $this->refused($command);
        if ($refused !== null) {
            $this->say($refused);
            return 1;
        }
        return match ($command) {
            'status' => $this->status(),
            'maintenance:install' => $this->install(),
            'maintenance:mode' => $this->mode(),
            'maintenance:repair', 'maintenance:data-fingerprint', 'maintenance:update:htaccess', 'files:scan',
            'db:add-missing-indices', 'db:add-missing-columns', 'db:add-missing-primary-keys',
            'integrity:check-core' => $this->say('Done.'),
            'upgrade' => (new Setup($this->server))->upgrade($this->say(...)),
            'config:list' => $this->configList(),
            'config:import' => $this->configImport(),
            'config:system:get' => $this->systemGet(),
            'config:system:set' => $this->systemSet(),
            'config:system:delete' => $this->systemDelete(),
            'config:app:get' => $this->appGet(),
            'config:app:set' => $this->appSet(),
            'config:app:delete' => $this->appDelete(),
            'background:cron', 'background:ajax', 'background:webcron' => $this->background($command),
            'background-job:list' => $this->jobs(),
            'app:list' => $this->apps(),
            'user:list' => $this->users(),
            'user:add', 'user:resetpassword' => $this->user(),
            default => $this->unknown($command),
        };
    }

    private function say(string $text): int
    {
        echo $text, "\n";
        return 0;
    }

    /** Returns why a command cannot run in the current state, or null if it can. */
    private function refused(string $command): ?string
    {
        $file = $this->server->config->file();
        if (is_file($file) && fileowner($file) !== posix_geteuid()) {
            return "Console has to be executed with the user that owns the file config/config.php\n"
                . 'Current user id: ' . posix_geteuid() . "\nOwner id of config.php: " . fileowner($file);
        }
        if (!$this->server->installed() && !in_array($command, ['status', 'maintenance:install', 'list'], true)) {
            return 'Nextcloud is not installed - only a limited number of commands are available';
        }
        return null;
    }

    private function unknown(string $command): int
    {
        $this->say("Command \"$command\" is not defined.");
        return 1;
    }

    private function output(mixed $value): int
    {
        $how = $this->options['output'] ?? 'plain';
        if ($how !== 'plain') {
            $pretty = $how === 'json_pretty' ? JSON_PRETTY_PRINT : 0;
            return $this->say(json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | $pretty));
        }
        if (!is_array($value)) {
            return $this->say(is_bool($value) ? ($value ? 'true' : 'false') : (string) $value);
        }
        foreach ($value as $key => $one) {
            $text = is_scalar($one) && !is_bool($one) ? (string) $one : json_encode($one, JSON_THROW_ON_ERROR);
            $this->say(is_int($key) ? $text : "  - $key: $text");
        }
        return 0;
    }

    private function status(): int
    {
        $this->output($this->server->status());
        if (!isset($this->options['e']) && !isset($this->options['exit-code'])) {
            return 0;
        }
        return $this->server->maintenance() ? 1 : ($this->server->needsUpgrade() ? 2 : 0);
    }

    private function install(): int
    {
        if ($this->server->installed()) {
            $this->say('Nextcloud is already installed');
            return 1;
        }
        $options = $this->options + ['database-host' => 'localhost', 'data-dir' => $this->server->root . '/data'];
        foreach (['database-name', 'database-user', 'database-pass', 'admin-user', 'admin-pass'] as $name) {
            if (!isset($options[$name]) || ($options[$name] === '' && $name !== 'database-pass')) {
                $this->say("Option --$name is missing");
                return 1;
            }
        }
        if (($options['database'] ?? '') !== 'pgsql') {
            $this->say('Only --database=pgsql is supported by this test application');
            return 1;
        }
        try {
            (new Setup($this->server))->install($options);
        } catch (\Exception $error) {
            $this->say('Error while trying to create admin account: ' . $error->getMessage());
            return 1;
        }
        return $this->say('Nextcloud was successfully installed');
    }

    private function mode(): int
    {
        $now = $this->server->maintenance();
        foreach (['on' => 'enabled', 'off' => 'disabled'] as $option => $word) {
            if (isset($this->options[$option])) {
                $wanted = $option === 'on';
                if ($wanted !== $now) {
                    $this->server->config->set(['maintenance' => $wanted]);
                }
                return $this->say('Maintenance mode ' . ($wanted === $now ? 'already ' : '') . $word);
            }
        }
        return $this->say('Maintenance mode is currently ' . ($now ? 'enabled' : 'disabled'));
    }

    private function configList(): int
    {
        $which = $this->words[0] ?? 'all';
        $private = isset($this->options['private']);
        $config = $this->server->config;
        $result = [];
        if (in_array($which, ['all', 'system'], true)) {
            $result['system'] = $private ? $config->all() : $config->shown();
        }
        if ($which !== 'system') {
            $result['apps'] = [];
            $rows = $this->server->query('SELECT * FROM oc_appconfig ORDER BY appid, configkey')->fetchAll(\PDO::FETCH_ASSOC);
            foreach ($rows as $row) {
                if ($which === 'all' || $which === $row['appid']) {
                    $result['apps'][$row['appid']][$row['configkey']] = $row['configvalue'];
                }
            }
        }
        $this->options['output'] = $this->options['output'] ?? 'json_pretty';
        return $this->output($result);
    }

    private function configImport(): int
    {
        $file = $this->words[0] ?? 'php://stdin';
        $all = json_decode((string) @file_get_contents($file), true);
        if (!is_array($all)) {
            $this->say('The file must contain a valid json array');
            return 1;
        }
        $isNull = fn (mixed $value): bool => $value === null;
        $system = $all['system'] ?? [];
        $this->server->config->set(array_diff_key($system, array_filter($system, $isNull)));
        $this->server->config->delete(...array_map('strval', array_keys(array_filter($system, $isNull))));
        foreach ($all['apps'] ?? [] as $app => $values) {
            foreach ($values as $key => $value) {
                if ($value === null) {
                    $this->server->query('DELETE FROM oc_appconfig WHERE appid = ? AND configkey = ?', [$app, $key]);
                } else {
                    $this->server->setAppValue($app, $key, (string) $value);
                }
            }
        }
        return $this->say("Config successfully imported from: $file");
    }

    private function systemGet(): int
    {
        $value = $this->server->config->all();
        foreach ($this->words as $name) {
            if (!is_array($value) || !array_key_exists($name, $value)) {
                return isset($this->options['default-value']) ? $this->output($this->options['default-value']) : 1;
            }
            $value = $value[$name];
        }
        return $this->output($value);
    }

    private function typed(string $text, string $type): mixed
    {
        return match ($type) {
            'string' => $text,
            'integer', 'int' => (int) $text,
            'double', 'float' => (float) $text,
            'boolean', 'bool' => match (strtolower($text)) {
                'true', '1', 'yes', 'on' => true,
                'false', '0', 'no', 'off' => false,
                default => throw new \InvalidArgumentException("Unable to parse value as boolean"),
            },
            'null' => null,
            'json', 'array' => json_decode($text, true, 512, JSON_THROW_ON_ERROR),
            default => throw new \InvalidArgumentException("Invalid type"),
        };
    }

    private function systemSet(): int
    {
        $config = $this->server->config;
        $names = $this->words;
        try {
            $value = $this->typed($this->options['value'] ?? '', $this->options['type'] ?? 'string');
        } catch (\Exception $error) {
            $this->say($error->getMessage());
            return 1;
        }
        $first = array_shift($names);
        if ($first === null || (isset($this->options['update-only']) && !$config->has($first))) {
            $this->say('Cannot update non-existent config value');
            return 1;
        }
        $top = $names === [] ? $value : $config->get($first, []);
        $place = &$top;
        foreach ($names as $name) {
            if (!is_array($place)) {
                $this->say('Value is no array');
                return 1;
            }
            $place = &$place[$name];
        }
        $place = $value;
        $config->set([$first => $top]);
        $shown = json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES);
        $type = $this->options['type'] ?? 'string';
        return $this->say('System config value ' . implode(' => ', $this->words) . " set to $type " . trim($shown, '"'));
    }

    private function systemDelete(): int
    {
        $config = $this->server->config;
        $names = $this->words;
        $first = (string) array_shift($names);
        $top = $config->get($first);
        $found = $config->has($first);
        $place = &$top;
        $last = array_pop($names);
        foreach ($names as $name) {
            $found = $found && is_array($place) && array_key_exists($name, $place);
            if (!$found) {
                break;
            }
            $place = &$place[$name];
        }
        $found = $found && ($last === null || (is_array($place) && array_key_exists($last, $place)));
        if (!$found) {
            return isset($this->options['error-if-not-exists']) ? 1 : 0;
        }
        if ($last === null) {
            $config->delete($first);
        } else {
            unset($place[$last]);
            $config->set([$first => $top]);
        }
        return $this->say('System config value ' . implode(' => ', $this->words) . ' deleted');
    }

    private function appGet(): int
    {
        $value = $this->server->appValue($this->words[0] ?? '', $this->words[1] ?? '');
        return $value === null ? 1 : $this->output($value);
    }

    private function appSet(): int
    {
        [$app, $key] = $this->words;
        $this->server->setAppValue($app, $key, $this->options['value'] ?? '');
        return $this->say("Config value $key for app $app set to " . ($this->options['value'] ?? ''));
    }

    private function appDelete(): int
    {
        $this->server->query('DELETE FROM oc_appconfig WHERE appid = ? AND configkey = ?', array_slice($this->words, 0, 2));
        return $this->say("Config value {$this->words[1]} of app {$this->words[0]} deleted");
    }

    private function background(string $command): int
    {
        $mode = substr($command, strlen('background:'));
        $this->server->setAppValue('core', 'backgroundjobs_mode', $mode);
        return $this->say("Set mode for background jobs to '$mode'");
    }

    private function jobs(): int
    {
        return $this->output($this->server->query('SELECT * FROM oc_jobs ORDER BY id')->fetchAll(\PDO::FETCH_ASSOC));
    }

    private function apps(): int
    {
        $version = $this->server->versionString;
        return $this->output(['enabled' => ['dav' => $version, 'files' => $version, 'lab' => $version], 'disabled' => []]);
    }

    private function users(): int
    {
        $names = $this->server->query('SELECT uid FROM oc_users ORDER BY uid')->fetchAll(\PDO::FETCH_COLUMN);
        return $this->output(array_combine($names, $names));
    }

    private function user(): int
    {
        $password = (string) getenv('OC_PASS');
        if ($password === '' || $this->words === []) {
            $this->say('--password-from-env given, but OC_PASS is empty!');
            return 1;
        }
        $this->server->addUser($this->words[0], $password);
        return $this->say("The account \"{$this->words[0]}\" was created successfully");
    }
}
