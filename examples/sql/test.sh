#!/usr/bin/env bash
# Runs the tests of this module against SQLite and a temporary PostgreSQL on 127.0.0.1. Needs
# Debian's postgresql. As root it runs the server as the user postgres, because the server refuses
# to run as root.
set -euo pipefail
cd "$(dirname "$0")"
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
data=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then
  chown postgres "$data"
  as=(runuser -u postgres --)
fi
port=${PGTESTPORT:-$((20000 + RANDOM % 10000))}
trap '"${as[@]}" "$bin/pg_ctl" -D "$data/d" -m immediate stop >"$data.log" 2>&1 || true; rm -rf "$data" "$data.log"' EXIT
(cd / && "${as[@]}" "$bin/initdb" -D "$data/d" -U postgres -A trust --no-sync >/dev/null)
(cd / && "${as[@]}" "$bin/pg_ctl" -D "$data/d" -w -l "$data/log" \
  -o "-c listen_addresses=127.0.0.1 -c unix_socket_directories= -p $port" start >/dev/null)
REDLOCK_TEST_POSTGRES="postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable" go test -count=1 "$@" ./...
