#!/bin/sh
# Shows what pgcairn is for, on a throw-away PostgreSQL 15: archive, back up, drop the wrong table, go back to the moment before.
#
#   sh examples/quickstart.sh [--no-install] [--keep]
#
# As root it installs what is missing (not with --no-install) and runs servers and pgcairn as an unprivileged user. All it
# makes is below one directory in /tmp, which is removed at the end; the servers listen on Unix sockets in it and on no port.
# --keep leaves the directory and both servers. The build stays in build-quickstart/.
set -eu

checkout=$(cd "$(dirname "$0")/.." && pwd)
pg=/usr/lib/postgresql/15/bin
no_install=
keep=
for word; do
	case $word in
	--no-install) no_install=--no-install ;;
	--keep) keep=yes ;;
	*) echo "usage: sh examples/quickstart.sh [--no-install] [--keep]" >&2 && exit 2 ;;
	esac
done

now() {
	date +%s%3N
}

# One line a step, with its time. What a step says goes to the log, of which a failure shows the end.
step() {
	doing=$1
	shift
	began=$(now)
	"$@" >>"$log" 2>&1
	ended=$(now)
	printf '%-72s %3d.%01d s\n' "$doing" $(((ended - began) / 1000)) $(((ended - began) % 1000 / 100))
}

fail() {
	printf '%s\n' "$*" >&2
	exit 1
}

# As the unprivileged user, who is us unless we are root.
as_user() {
	if [ -n "$user" ]; then
		setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups env HOME="$work" "$@"
	else
		"$@"
	fi
}

cairn() {
	as_user "$bin/pgcairn" --config "$work/pgcairn.conf" "$@"
}

# sql CLUSTER [psql options]: CLUSTER is source or restored; without -c the statements come from standard input.
sql() {
	cluster=$1
	shift
	as_user "$pg/psql" -h "$work/$cluster" -U postgres -d postgres -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

start_server() {
	as_user "$pg/pg_ctl" -D "$work/$1/data" -l "$work/$1/server.log" -o "-c listen_addresses='' -k $work/$1 -p 5432" -w start
}

stop_server() {
	[ ! -f "$work/$1/data/postmaster.pid" ] || as_user "$pg/pg_ctl" -D "$work/$1/data" -m immediate -w stop >/dev/null 2>&1 || true
}

clean_up() {
	status=$?
	trap - EXIT INT TERM HUP
	if [ "$status" -ne 0 ]; then
		printf '\nFAILED (status %s): %s\n' "$status" "$doing" >&2
		tail -n 25 "$work"/*/server.log "$log" >&2 2>/dev/null || true
	elif [ -n "$keep" ]; then
		exit 0
	fi
	stop_server source
	stop_server restored
	rm -rf "$work"
	exit "$status"
}

build() {
	[ -f "$build/build.ninja" ] || meson setup "$build" "$checkout" -Dbuildtype=release -Dtests=false --prefix=/usr/local
	DESTDIR=$work/installed meson install -C "$build"
}

make_source() {
	as_user "$pg/initdb" -D "$work/source/data" -U postgres -A trust -E UTF8 --no-locale --data-checksums --no-sync
	start_server source
}

write_config() {
	cat >"$work/pgcairn.conf" <<-END
		[pgcairn]
		state-directory = $work/state
		run-directory = $work/run

		[cluster:demo]
		pgdata = $work/source/data
		conninfo = host=$work/source port=5432 user=postgres

		[repository:local]
		url = file://$work/repository

		[keys]
		recipients-file = $work/keys/recipients
		comparison-key = $work/keys/comparison-key
		identity = $work/keys/identity
		signers-file = $work/keys/signers
	END
}

switch_archiving_on() {
	sql source -c 'ALTER SYSTEM SET archive_mode = on' \
		-c "ALTER SYSTEM SET archive_command = '$bin/pgcairn-wal-archive --config $work/pgcairn.conf %p %f'"
	as_user "$pg/pg_ctl" -D "$work/source/data" -l "$work/source/server.log" -w restart
}

# Rows $1 to $2 of the table that proves the moment, each committed by itself.
write_rows() {
	seq "$1" "$2" | sed 's/.*/INSERT INTO proof VALUES (&, clock_timestamp());/' | sql source
}

work_before() {
	as_user "$pg/pgbench" -h "$work/source" -U postgres -c 4 -T 5 postgres
	sql source -c 'CREATE TABLE proof (id int PRIMARY KEY, written timestamptz)'
	write_rows 1 200
}

work_after() {
	write_rows 201 300
	sql source -c 'DROP TABLE pgbench_accounts'
	write_rows 301 400
}

wait_archived() {
	segment=$(sql source -c 'SELECT pg_walfile_name(pg_switch_wal())')
	tries=0
	until [ "$(sql source -c "SELECT left(last_archived_wal, 24) >= '$segment' FROM pg_stat_archiver")" = t ]; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || fail "segment $segment was not archived within 30 s"
		sleep 0.1
	done
}

wait_promoted() {
	tries=0
	until [ "$(sql restored -c 'SELECT pg_is_in_recovery()')" = f ]; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || fail 'recovery did not end within 60 s'
		sleep 0.1
	done
}

# Counts and digests of every table: the same on both servers, or the restore is wrong.
fingerprint() {
	for table in proof pgbench_accounts pgbench_branches pgbench_tellers pgbench_history; do
		sql "$1" -c "SELECT '$table', count(*), sum(hashtextextended(t::text, 0)) FROM $table t"
	done
}

compare() {
	after=$(fingerprint restored)
	[ "$before" = "$after" ] || fail "the restored rows differ. Before:
$before
Restored:
$after"
}

doing='prepare'
log=/dev/null
sh "$checkout/examples/dependencies.sh" $no_install build run
user=
if [ "$(id -u)" -eq 0 ]; then
	user=nobody
	! id postgres >/dev/null 2>&1 || user=postgres
fi

work=$(mktemp -d /tmp/pgcairn-quickstart.XXXXXX)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 755 "$work"
cd "$work"
mkdir source restored keys state run repository
chmod 700 keys state run repository
log=$work/log
bin=$work/installed/usr/local/bin
build=$checkout/build-quickstart
[ -w "$checkout" ] || build=$work/build

step 'build a release' build
step 'write pgcairn.conf' write_config
[ -z "$user" ] || chown -R "$user:$(id -g "$user")" "$work"
begun=$(now)
step 'make a PostgreSQL 15 cluster with data checksums' make_source
step 'pgcairn init: repository and keys' cairn init
step 'switch archiving on' switch_archiving_on
step 'fill it: pgbench -i -s 5' as_user "$pg/pgbench" -h "$work/source" -U postgres -i -s 5 -q postgres
step 'pgcairn backup' cairn backup
step 'work: pgbench with 4 clients, then 200 rows committed one by one' work_before
before=$(fingerprint source)
moment=$(sql source -c "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
echo "the moment to come back to: $moment"
step '100 rows more, DROP TABLE pgbench_accounts (the wrong one), 100 more' work_after
step 'wait until the last segment is archived' wait_archived
step 'pgcairn restore --target-time, into a second directory' \
	cairn restore --pgdata "$work/restored/data" --target-time "$moment" --target-action promote
step 'start the restored server and let it recover' start_server restored
step 'wait for the end of recovery' wait_promoted
step 'compare every table, row by row' compare
ended=$(now)

cat <<END

Restored: the 200 rows committed before $moment and none of the 200 after it; the dropped table is back.
$before
All of it took $(((ended - begun) / 1000)) s, the build apart.

On a real server:
  install         meson install -C $build
  configuration   /etc/pgcairn/pgcairn.conf, like the one below; then, as user postgres: pgcairn init
  keys            copy the identity away from the database host: without it no backup can be read
  archiving       archive_mode = on
                  archive_command = '/usr/local/bin/pgcairn-wal-archive %p %f'
  backups         a systemd timer or cron, every day, as user postgres: pgcairn backup
  watching        pgcairn check
  role, pg_hba    pgconf/

$(sed 's/^/  /' "$work/pgcairn.conf")
END
[ -z "$keep" ] || cat <<END

Both servers run, in $work. Connect:
  $pg/psql -h $work/source -U postgres postgres
  $pg/psql -h $work/restored -U postgres postgres
Stop them and remove everything${user:+ (as user $user)}:
  $pg/pg_ctl -D $work/source/data stop; $pg/pg_ctl -D $work/restored/data stop; rm -rf $work
END
