<?php
// SPDX-License-Identifier: GPL-3.0-or-later
// Not the Nextcloud server: a replacement for tests that behaves like the image nextcloud:fpm, see lib/README.md.
declare(strict_types=1);

namespace StandIn;

/** Files over WebDAV, limited to the methods that the tests use. */
final class Files extends Web
{
    private const CHUNK = 1 << 20;

    public function serve(): void
    {
        $path = $this->path();
        $this->guard();
        $user = (string) ($_SERVER['PHP_AUTH_USER'] ?? '');
        if ($user === '' || !$this->server->authenticate($user, (string) ($_SERVER['PHP_AUTH_PW'] ?? ''))) {
            header('WWW-Authenticate: Basic realm="Nextcloud", charset="UTF-8"');
            $this->answer(401, 'No public access to this resource., Username or password was incorrect');
            return;
        }
        $name = $this->name($path, $user);
        if ($name === null) {
            $this->answer(404, "Path not found: $path");
            return;
        }
        $file = $this->server->data() . "/$user/files/$name";
        match ($_SERVER['REQUEST_METHOD']) {
            'PUT' => $this->put($file, "$user/$name"),
            'GET', 'HEAD' => $this->get($file),
            'DELETE' => $this->delete($file, "$user/$name"),
            'MKCOL' => $this->answer(@mkdir($file, 0750) ? 201 : 405),
            'PROPFIND' => $this->find($file, $path),
            'OPTIONS' => $this->options(),
            default => $this->answer(501),
        };
    }

    private function name(string $path, string $user): ?string
    {
        foreach (["/dav/files/$user", '/webdav'] as $prefix) {
            if ($path === $prefix || str_starts_with($path, "$prefix/")) {
                $name = trim(substr($path, strlen($prefix)), '/');
                return in_array('..', explode('/', $name), true) ? null : $name;
            }
        }
        return $path === '/dav/' || $path === '/dav' ? '' : null;
    }

    private function answer(int $code, string $text = ''): void
    {
        http_response_code($code);
        header('Content-Type: application/xml; charset=utf-8');
        if ($text !== '') {
            echo '<?xml version="1.0"?><d:error xmlns:d="DAV:"><message>', htmlspecialchars($text), '</message></d:error>';
        }
    }

    private function put(string $file, string $path): void
    {
        if (!is_dir(dirname($file))) {
            $this->answer(409, 'Files cannot be created in non-existent collections');
            return;
        }
        $redis = $this->server->redis();
        $lock = 'lock/' . hash('sha256', $path);
        if ($redis !== null && !$redis->set($lock, '1', ['nx', 'ex' => 3600])) {
            $this->answer(423, "\"files/$path\" is locked");
            return;
        }
        $part = $file . '.ocTransferId' . random_int(1, PHP_INT_MAX) . '.part';
        try {
            $this->store($file, $part, $path);
        } finally {
            @unlink($part);
            // A new connection: the old one may have been idle during a long upload.
            $this->server->redis()?->del($lock);
        }
    }

    private function store(string $file, string $part, string $path): void
    {
        set_time_limit(0);
        $from = fopen('php://input', 'rb');
        $to = @fopen($part, 'wb');
        if ($from === false || $to === false) {
            $this->answer(500, 'Could not write file contents');
            return;
        }
        $hash = hash_init('sha256');
        $size = 0;
        while (($chunk = fread($from, self::CHUNK)) !== false && $chunk !== '') {
            if (@fwrite($to, $chunk) !== strlen($chunk)) {
                $this->answer(507, 'Could not write file contents: no space left');
                return;
            }
            hash_update($hash, $chunk);
            $size += strlen($chunk);
        }
        fclose($to);
        $expected = (int) ($_SERVER['CONTENT_LENGTH'] ?? $size);
        if ($expected !== $size) {
            $this->answer(400, "Expected filesize of $expected bytes but read and wrote $size bytes");
            return;
        }
        $there = is_file($file);
        rename($part, $file);
        $checksum = hash_final($hash);
        $this->server->query(
            'INSERT INTO oc_filecache (path, size, checksum) VALUES (?, ?, ?) '
            . 'ON CONFLICT (path) DO UPDATE SET size = excluded.size, checksum = excluded.checksum',
            [$path, $size, $checksum],
        );
        header("OC-Checksum: SHA256:$checksum");
        header("X-Worker-Pid: " . getmypid());
        $this->answer($there ? 204 : 201);
    }

    private function get(string $file): void
    {
        if (!is_file($file)) {
            $this->answer(404, 'File not found');
            return;
        }
        header('Content-Type: application/octet-stream');
        header('Content-Length: ' . filesize($file));
        if ($_SERVER['REQUEST_METHOD'] === 'GET') {
            readfile($file);
        }
    }

    private function delete(string $file, string $path): void
    {
        $done = is_dir($file) ? @rmdir($file) : @unlink($file);
        $this->server->query('DELETE FROM oc_filecache WHERE path = ?', [$path]);
        $this->answer($done ? 204 : 404);
    }

    private function options(): void
    {
        header('DAV: 1, 3');
        header('Allow: OPTIONS, GET, HEAD, DELETE, PROPFIND, PUT, MKCOL');
        $this->answer(200);
    }

    private function find(string $file, string $path): void
    {
        if (!file_exists($file)) {
            $this->answer(404, 'File not found');
            return;
        }
        $found = [rtrim($path, '/') => $file];
        if (is_dir($file) && ($_SERVER['HTTP_DEPTH'] ?? '0') === '1') {
            foreach (array_diff(scandir($file) ?: [], ['.', '..']) as $name) {
                $found[rtrim($path, '/') . "/$name"] = "$file/$name";
            }
        }
        http_response_code(207);
        header('Content-Type: application/xml; charset=utf-8');
        echo '<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">';
        foreach ($found as $href => $one) {
            $kind = is_dir($one)
                ? '<d:resourcetype><d:collection/></d:resourcetype>'
                : '<d:resourcetype/><d:getcontentlength>' . filesize($one) . '</d:getcontentlength>';
            echo '<d:response><d:href>', htmlspecialchars($this->webroot() . '/remote.php' . $href),
                "</d:href><d:propstat><d:prop>$kind</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>";
        }
        echo '</d:multistatus>';
    }
}
