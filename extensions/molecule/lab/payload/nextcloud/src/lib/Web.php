<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server: a replacement for tests that behaves like the image nextcloud:fpm, see lib/README.md.
declare(strict_types=1);

namespace StandIn;

/** Pages, the front controller and the background job; reads requests from a web server as Nextcloud server does. */
class Web
{
    public function __construct(protected Server $server)
    {
    }

    public static function json(mixed $value, int $code = 200): void
    {
        http_response_code($code);
        header('Content-Type: application/json; charset=utf-8');
        echo json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES);
    }

    private function failed(int $code, string $text): never
    {
        http_response_code($code);
        header('Content-Type: text/html; charset=utf-8');
        echo '<!DOCTYPE html><title>Nextcloud</title><p id="error">', htmlspecialchars($text), '</p>';
        exit;
    }

    private function secure(): bool
    {
        $protocol = $this->server->config->get('overwriteprotocol');
        $said = $_SERVER['HTTPS'] ?? 'off';
        return $protocol ? $protocol === 'https' : !in_array($said, ['', 'off'], true);
    }

    /** The folder of the application in the URL, without a final slash. */
    public function webroot(): string
    {
        $overwrite = $this->server->config->get('overwritewebroot');
        if (is_string($overwrite) && $overwrite !== '') {
            return rtrim($overwrite, '/');
        }
        $inside = substr((string) $_SERVER['SCRIPT_FILENAME'], strlen($this->server->root));
        $script = (string) $_SERVER['SCRIPT_NAME'];
        if (!str_ends_with($script, $inside)) {
            $this->failed(500, "SCRIPT_NAME $script does not belong to SCRIPT_FILENAME");
        }
        return substr($script, 0, -strlen($inside));
    }

    /** The part of the URL after the script. */
    protected function path(): string
    {
        $path = rawurldecode((string) strtok((string) $_SERVER['REQUEST_URI'], '?'));
        $root = $this->webroot();
        if ($root !== '' && !str_starts_with($path, "$root/") && $path !== $root) {
            $this->failed(500, "The requested uri($path) cannot be processed by the script '{$_SERVER['SCRIPT_NAME']}'");
        }
        $path = substr($path, strlen($root));
        $script = substr((string) $_SERVER['SCRIPT_FILENAME'], strlen($this->server->root));
        if (str_starts_with($path, $script)) {
            $path = substr($path, strlen($script));
        }
        return $path === '' ? '/' : $path;
    }

    private function link(string $path): string
    {
        $pretty = ($_SERVER['front_controller_active'] ?? '') === 'true';
        return $this->webroot() . ($pretty ? '' : '/index.php') . $path;
    }

    private function redirect(string $path): never
    {
        $host = (string) ($this->server->config->get('overwritehost') ?: $_SERVER['HTTP_HOST']);
        header('Location: ' . ($this->secure() ? 'https' : 'http') . "://$host" . $this->link($path), true, 303);
        exit;
    }

    /** Refuse requests that must not be answered in the current state. */
    protected function guard(): void
    {
        if (!$this->server->installed()) {
            $this->failed(503, 'Nextcloud is not installed');
        }
        if ($this->server->maintenance()) {
            header('X-Nextcloud-Maintenance-Mode: 1');
            header('Retry-After: 120');
            $this->failed(503, 'Maintenance mode');
        }
        if ($this->server->needsUpgrade()) {
            header('Retry-After: 120');
            $this->failed(503, 'Update needed');
        }
        $host = preg_replace('/:\d+$/', '', (string) ($_SERVER['HTTP_HOST'] ?? ''));
        foreach ((array) $this->server->config->get('trusted_domains', []) as $trusted) {
            $pattern = str_replace('\*', '.*', preg_quote((string) $trusted, '/'));
            if (preg_match("/^$pattern$/i", (string) $host) || preg_match("/^$pattern$/i", (string) $_SERVER['HTTP_HOST'])) {
                return;
            }
        }
        $this->failed(400, 'Access through untrusted domain');
    }

    private function session(): void
    {
        session_name((string) $this->server->config->get('instanceid'));
        session_set_cookie_params([
            'path' => $this->webroot() ?: '/',
            'secure' => $this->secure(),
            'httponly' => true,
            'samesite' => 'Lax',
        ]);
        session_start();
    }

    public function front(): void
    {
        $path = $this->path();
        $this->guard();
        if (str_starts_with($path, '/.well-known/')) {
            header('X-NEXTCLOUD-WELL-KNOWN: 1');
            self::json([], 404);
            return;
        }
        if (($_SERVER['REQUEST_METHOD'] ?? '') === 'GET' && $this->server->appValue('core', 'backgroundjobs_mode') === 'ajax') {
            $this->jobs();
        }
        $this->session();
        match ($path) {
            '/' => $this->redirect(isset($_SESSION['user']) ? '/apps/dashboard/' : '/login'),
            '/login' => $_SERVER['REQUEST_METHOD'] === 'POST' ? $this->login() : $this->form(),
            '/logout' => $this->logout(),
            '/csrftoken' => self::json(['token' => $this->token()]),
            '/apps/dashboard/', '/apps/files/' => $this->dashboard(),
            '/apps/lab/state' => self::json($this->state()),
            '/apps/lab/request' => self::json($this->request()),
            default => $this->failed(404, "Page not found: $path"),
        };
    }

    private function token(): string
    {
        return $_SESSION['requesttoken'] ??= bin2hex(random_bytes(16));
    }

    private function form(string $message = ''): void
    {
        $head = '<link rel="stylesheet" href="' . htmlspecialchars($this->webroot()) . '/core/css/server.css">';
        header('Content-Type: text/html; charset=utf-8');
        echo "<!DOCTYPE html><html><head><title>Login</title>$head</head><body>",
            '<p id="message">', htmlspecialchars($message), '</p>',
            '<form method="post" action="', htmlspecialchars($this->link('/login')), '">',
            '<input id="user" name="user"><input id="password" name="password" type="password">',
            '<input name="requesttoken" type="hidden" value="', $this->token(), '">',
            '<button id="submit-form" type="submit">Log in</button></form></body></html>';
    }

    private function login(): void
    {
        if (!hash_equals($this->token(), (string) ($_POST['requesttoken'] ?? ''))) {
            $this->failed(412, 'CSRF check failed');
        }
        $user = (string) ($_POST['user'] ?? '');
        if (!$this->server->authenticate($user, (string) ($_POST['password'] ?? ''))) {
            http_response_code(401);
            $this->form('Wrong login or password.');
            return;
        }
        session_regenerate_id(true);
        $_SESSION['user'] = $user;
        $_SESSION['count'] = 0;
        $this->redirect('/apps/dashboard/');
    }

    private function logout(): void
    {
        session_destroy();
        $this->redirect('/login');
    }

    /** @return array<string, int|string|null> */
    private function state(): array
    {
        if (isset($_SESSION['user'])) {
            ++$_SESSION['count'];
        }
        return [
            'user' => $_SESSION['user'] ?? null,
            'count' => $_SESSION['count'] ?? 0,
            'session' => substr(hash('sha256', (string) session_id()), 0, 12),
            'backend' => (int) $this->server->query('SELECT pg_backend_pid()')->fetchColumn(),
            'pid' => getmypid(),
            // Kept only in the memory of FPM: 1 again after a fresh start.
            'memory' => function_exists('apcu_enabled') && apcu_enabled() ? (int) apcu_inc('lab/views') : null,
            'version' => $this->server->versionString,
        ];
    }

    private function dashboard(): void
    {
        if (!isset($_SESSION['user'])) {
            $this->redirect('/login');
        }
        header('Content-Type: text/html; charset=utf-8');
        echo '<!DOCTYPE html><html><head><title>Dashboard</title></head><body>';
        foreach ($this->state() as $name => $value) {
            echo "<p id=\"$name\">", htmlspecialchars((string) $value), '</p>';
        }
        echo '</body></html>';
    }

    /** The values that the web server passed with this request, for tests of its settings. @return array<string, mixed> */
    private function request(): array
    {
        $names = ['SCRIPT_NAME', 'SCRIPT_FILENAME', 'PATH_INFO', 'REQUEST_URI', 'HTTPS', 'REMOTE_ADDR', 'SERVER_NAME', 'SERVER_PORT'];
        $said = array_map(fn (string $name): ?string => $_SERVER[$name] ?? null, $names);
        return [
            ...array_combine($names, $said),
            'webroot' => $this->webroot(),
            'secure' => $this->secure(),
            'authorization' => isset($_SERVER['PHP_AUTH_USER']),
            'upload_max_filesize' => ini_get('upload_max_filesize'),
            'memory_limit' => ini_get('memory_limit'),
            'session_handler' => ini_get('session.save_handler'),
        ];
    }

    private function jobs(): void
    {
        $this->server->query('UPDATE oc_jobs SET last_run = ?', [time()]);
        $this->server->setAppValue('core', 'lastcron', (string) time());
    }

    /** The background job: run by cron as the owner of config.php, or by the browser if it is configured. */
    public function cron(): int
    {
        $cli = PHP_SAPI === 'cli';
        if (!$this->server->installed() || $this->server->maintenance() || $this->server->needsUpgrade()) {
            return $cli ? (print "Nextcloud or one of the apps require upgrade - only a limited number of commands are available\n") - 1 : 0;
        }
        if ($cli && posix_geteuid() !== fileowner($this->server->config->file())) {
            echo "Console has to be executed with the user that owns the file config/config.php\n";
            return 1;
        }
        if (!$cli && $this->server->appValue('core', 'backgroundjobs_mode') === 'cron') {
            self::json(['data' => ['message' => 'Backgroundjobs are using system cron!'], 'status' => 'error']);
            return 0;
        }
        $this->jobs();
        if ($cli) {
            $this->server->setAppValue('core', 'backgroundjobs_mode', 'cron');
        } else {
            self::json(['status' => 'success']);
        }
        return 0;
    }

    public function ocs(): void
    {
        $path = $this->path();
        $this->guard();
        if ($path !== '/cloud/capabilities') {
            self::json(['ocs' => ['meta' => ['status' => 'failure', 'statuscode' => 404, 'message' => ''], 'data' => []]], 404);
            return;
        }
        $numbers = array_map('intval', explode('.', $this->server->version));
        $version = array_combine(['major', 'minor', 'micro'], array_slice($numbers, 0, 3));
        self::json(['ocs' => [
            'meta' => ['status' => 'ok', 'statuscode' => 200, 'message' => 'OK'],
            'data' => [
                'version' => [...$version, 'string' => $this->server->versionString, 'edition' => ''],
                'capabilities' => ['core' => ['pollinterval' => 60, 'webdav-root' => 'remote.php/webdav']],
            ],
        ]]);
    }

    public function closed(): void
    {
        $this->guard();
        $this->failed(404, 'No public share');
    }
}
