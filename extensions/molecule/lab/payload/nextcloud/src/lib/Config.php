<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server: a replacement for tests that behaves like the image nextcloud:fpm, see lib/README.md.
declare(strict_types=1);

namespace StandIn;

/** config/config.php, always written as a whole, and the fragments beside it. */
final class Config
{
    private const SECRET = ['dbpassword', 'dbuser', 'passwordsalt', 'secret', 'redis', 'mail_smtppassword', 'instanceid'];

    /** @var array<string, mixed> */
    private array $values = [];

    public function __construct(private string $folder)
    {
        $this->read();
    }

    private function read(): void
    {
        $fragments = glob($this->folder . '/*.config.php') ?: [];
        foreach ([$this->file(), ...$fragments] as $file) {
            if (is_file($file)) {
                $CONFIG = [];
                if (function_exists('opcache_invalidate')) {
                    // occ is a different process: FPM would see its changes only after a minute.
                    opcache_invalidate($file, false);
                }
                include $file;
                $this->values = array_merge($this->values, $CONFIG);
            }
        }
    }

    public function file(): string
    {
        return $this->folder . '/config.php';
    }

    public function get(string $name, mixed $default = null): mixed
    {
        return $this->values[$name] ?? $default;
    }

    public function has(string $name): bool
    {
        return array_key_exists($name, $this->values);
    }

    /** @return array<string, mixed> */
    public function all(): array
    {
        return $this->values;
    }

    /** @return array<string, mixed> */
    public function shown(): array
    {
        $hide = fn (mixed $value, string $name): mixed
            => in_array($name, self::SECRET, true) ? '***REMOVED SENSITIVE VALUE***' : $value;
        return array_combine(
            array_keys($this->values),
            array_map($hide, array_values($this->values), array_map('strval', array_keys($this->values))),
        );
    }

    /** @param array<string, mixed> $changed */
    public function set(array $changed): void
    {
        $this->write(array_merge($this->values, $changed));
    }

    public function delete(string ...$names): void
    {
        $this->write(array_diff_key($this->values, array_flip($names)));
    }

    /** @param array<string, mixed> $values */
    private function write(array $values): void
    {
        $part = $this->file() . '.part';
        $text = "<?php\n\$CONFIG = " . var_export($values, true) . ";\n";
        if (file_put_contents($part, $text) !== strlen($text)) {
            @unlink($part);
            throw new \RuntimeException('Cannot write into "config" directory!');
        }
        chmod($part, 0640);
        rename($part, $this->file());
        $this->values = $values;
    }
}
