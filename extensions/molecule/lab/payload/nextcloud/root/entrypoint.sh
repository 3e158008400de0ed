#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs or upgrades the application in /var/www/html, then executes the command. Behaves like the entrypoint of
# nextcloud:fpm, and was written from scratch for the tests.
set -eu

SOURCE=/usr/src/nextcloud
TARGET=/var/www/html
KEPT="config data custom_apps themes"

as_user() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=33 --regid=33 --clear-groups env HOME=/var/www "$@"
	else
		"$@"
	fi
}

# Sets NAME from the file that NAME_FILE names, a mounted secret
from_file() {
	value=
	file=
	eval "value=\${$1:-} file=\${$1_FILE:-}"
	[ -z "$file" ] || [ -n "$value" ] || value=$(cat "$file")
	if [ -n "$value" ]; then
		export "$1=$value"
	fi
}

version_of() {
	if [ -f "$1/version.php" ]; then
		php -r 'require $argv[1] . "/version.php"; echo implode(".", $OC_Version);' "$1"
	else
		echo 0.0.0.0
	fi
}

# Succeeds when $1 is a higher version than $2
higher() {
	[ "$1" != "$2" ] && [ "$(printf '%s\n' "$@" | sort -V | head -n 1)" = "$2" ]
}

hooks() {
	for hook in /docker-entrypoint-hooks.d/"$1"/*.sh; do
		if [ -x "$hook" ]; then
			echo "==> Running the script (cwd: $PWD): \"$hook\""
			as_user sh -c "$hook"
		fi
	done
}

redis_sessions() {
	[ -n "${REDIS_HOST:-}" ] || return 0
	from_file REDIS_HOST_PASSWORD
	umask 077
	{
		echo "session.save_handler = redis"
		case $REDIS_HOST in
			/*) place="unix://$REDIS_HOST?" ;;
			*) place="tcp://$REDIS_HOST:${REDIS_HOST_PORT:-6379}?" ;;
		esac
		[ -z "${REDIS_HOST_PASSWORD:-}" ] || place="${place}auth=$(php -r 'echo urlencode($argv[1]);' "$REDIS_HOST_PASSWORD")"
		echo "session.save_path = \"$place\""
		echo "redis.session.locking_enabled = 1"
		echo "redis.session.lock_retries = -1"
		echo "redis.session.lock_wait_time = 10000"
	} > /usr/local/etc/php/conf.d/redis-session.ini
	chown 0:33 /usr/local/etc/php/conf.d/redis-session.ini
	chmod 0640 /usr/local/etc/php/conf.d/redis-session.ini
	umask 022
}

# Replaces all files of the program and leaves those of the instance alone.
copy_program() {
	for path in "$TARGET"/* "$TARGET"/.[!.]*; do
		name=${path##*/}
		case " $KEPT nextcloud-init-sync.lock version.php " in
			*" $name "*) ;;
			*) rm -rf "$path" ;;
		esac
	done
	tar -C "$SOURCE" -cf - --exclude=./version.php --exclude=./config --owner=33 --group=33 . |
		tar -C "$TARGET" -xpf - --no-overwrite-dir
	for name in $KEPT; do
		mkdir -p "$TARGET/$name"
		if [ -z "$(ls -A "$TARGET/$name")" ]; then
			[ ! -d "$SOURCE/$name" ] || cp "$SOURCE/$name"/* "$TARGET/$name/"
			[ "$(id -u)" != 0 ] || chown -R 33:33 "$TARGET/$name"
		fi
	done
	cp "$SOURCE/version.php" "$TARGET/version.php"
	[ "$(id -u)" != 0 ] || chown 33:33 "$TARGET/version.php"
}

install_new() {
	echo "New nextcloud instance"
	for name in NEXTCLOUD_ADMIN_USER NEXTCLOUD_ADMIN_PASSWORD POSTGRES_DB POSTGRES_USER POSTGRES_PASSWORD; do
		from_file "$name"
	done
	if [ -z "${NEXTCLOUD_ADMIN_USER:-}" ] || [ -z "${NEXTCLOUD_ADMIN_PASSWORD:-}" ] || [ -z "${POSTGRES_HOST:-}" ]; then
		echo "Next step: Access your instance to finish the web-based installation!"
		return 0
	fi
	hooks pre-installation
	echo "Starting nextcloud installation"
	tries=0
	until as_user php "$TARGET/occ" maintenance:install -n --database=pgsql --database-name="$POSTGRES_DB" \
		--database-user="$POSTGRES_USER" --database-pass="${POSTGRES_PASSWORD:-}" --database-host="$POSTGRES_HOST" \
		--admin-user="$NEXTCLOUD_ADMIN_USER" --admin-pass="$NEXTCLOUD_ADMIN_PASSWORD" \
		--data-dir="${NEXTCLOUD_DATA_DIR:-$TARGET/data}"; do
		tries=$((tries + 1))
		if [ "$tries" -ge 10 ]; then
			echo "Installing of nextcloud failed!"
			exit 1
		fi
		echo "Retrying install..."
		sleep 10
	done
	number=1
	for domain in ${NEXTCLOUD_TRUSTED_DOMAINS:-}; do
		as_user php "$TARGET/occ" config:system:set trusted_domains "$number" --value="$domain"
		number=$((number + 1))
	done
	hooks post-installation
}

initialize() {
	installed=$(version_of "$TARGET")
	shipped=$(version_of "$SOURCE")
	if higher "$installed" "$shipped"; then
		echo "Can't start Nextcloud because the version of the data ($installed) is higher than the docker image version" \
			"($shipped) and downgrading is not supported. Are you sure you have pulled the newest image version?"
		exit 1
	fi
	higher "$shipped" "$installed" || return 0
	echo "Initializing nextcloud $shipped ..."
	if [ "$installed" != 0.0.0.0 ]; then
		if [ "${shipped%%.*}" -gt "$((${installed%%.*} + 1))" ]; then
			echo "Can't start Nextcloud because upgrading from $installed to $shipped is not supported." \
				"It is only possible to upgrade one major version at a time."
			exit 1
		fi
		echo "Upgrading nextcloud from $installed ..."
	fi
	copy_program
	if [ "$installed" = 0.0.0.0 ]; then
		install_new
	else
		hooks pre-upgrade
		as_user php "$TARGET/occ" upgrade
		hooks post-upgrade
	fi
	echo "Initializing finished"
}

if [ "${1:-}" = php-fpm ] || [ "${NEXTCLOUD_UPDATE:-0}" = 1 ]; then
	redis_sessions
	exec 9> "$TARGET/nextcloud-init-sync.lock"
	if ! flock -n 9; then
		echo "Another process is initializing Nextcloud. Waiting..."
		flock 9
	fi
	initialize
	exec 9>&-
	hooks before-starting
fi
exec "$@"
