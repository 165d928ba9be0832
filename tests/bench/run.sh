#!/bin/sh
# The benchmarks, on data made for the occasion; the tables are written to standard output as Markdown.
#
#   sh tests/bench/run.sh race         against pgBackRest, on a cluster of 2 GB: about ten minutes, 16 GB in TMPDIR
#   sh tests/bench/run.sh race small   shows in a minute that the race can be run; its figures say nothing
#   sh tests/bench/run.sh wal [small]  the agent against pgBackRest's asynchronous archiving, a backlog of 200 segments
#   sh tests/bench/run.sh primary [small]  what archiving to two repositories costs a busy primary: about ten minutes
#   sh tests/bench/run.sh replay [small]  a recovery of 200 segments, beside cp and pgBackRest: under an hour
#   sh tests/bench/run.sh primitives   what the single steps cost: about five minutes, 2 GB in TMPDIR
#   sh tests/bench/run.sh million      info, find and a restore's plan over a million segments of WAL: half an hour, 5 GB in TMPDIR
#   sh tests/bench/run.sh million small   the same over twenty thousand: a minute
#
# Needs PostgreSQL's server programs (PG_BINDIR, else the newest below /usr/lib/postgresql), and the race pgbackrest and
# python3. TMPDIR should lie on the disk that repositories would lie on. Run as root, servers and contestants run as user
# postgres, and the race also measures with an empty page cache.
set -eu
LC_ALL=C
export LC_ALL
source_root=$(cd "$(dirname "$0")/../.." && pwd)

usage() {
	echo "usage: sh tests/bench/run.sh race [small] | wal [small] | primary [small] | replay [small] | primitives | million [small]" >&2
	exit 2
}

die() {
	echo "bench: $*" >&2
	exit 1
}

as_server() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=postgres --regid=postgres --init-groups env -C "$work" HOME="$work" "$@"
	else
		"$@"
	fi
}

clean() {
	for data in "$work"/pg*; do
		if [ -f "$data/postmaster.pid" ]; then
			as_server "$bindir/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1 || true
		fi
	done
	rm -rf "$work"
}

query() {
	as_server "$bindir/psql" -h "$work" -U postgres -AXqtc "$1" postgres
}

load() { # transactions of each of four clients
	as_server "$bindir/pgbench" -h "$work" -U postgres -n -c 4 -t "$1" postgres >/dev/null 2>&1 || die "pgbench failed"
}

make_server() {
	as_server "$bindir/initdb" -D "$work/pg" --auth=trust -U postgres >/dev/null 2>&1 || die "initdb failed"
	cat >>"$work/pg/postgresql.conf" <<-END
		listen_addresses = ''
		unix_socket_directories = '$work'
		archive_mode = on
		archive_command = 'cp %p $work/archive/%f'
		synchronous_commit = off
		max_wal_size = 8GB
		checkpoint_timeout = 1h
	END
	as_server "$bindir/pg_ctl" -D "$work/pg" -l "$work/server.log" -w start >/dev/null || die "the server did not start"
}

# A full segment that begins after this place in WAL, out of the archive, under a name that says what it holds.
keep_segment() { # after-segment name
	tries=0
	while :; do
		# shellcheck disable=SC2012  # names of WAL files
		segment=$(ls "$work/archive" | awk -v after="$1" 'length($0) == 24 && $0 > after { print; exit }')
		# cp is done when the server has said so
		if [ -n "$segment" ] && [ -f "$work/pg/pg_wal/archive_status/$segment.done" ]; then
			break
		fi
		tries=$((tries + 1))
		[ "$tries" -lt 600 ] || die "no segment after $1 was archived"
		sleep 0.1
	done
	cp "$work/archive/$segment" "$work/$2"
}

# Three segments that differ most in what they hold, and a sample of relation files as a base backup reads them.
make_data() {
	make_server
	start=$(query 'select pg_walfile_name(pg_current_wal_lsn())')
	as_server "$bindir/pgbench" -h "$work" -U postgres -i -s 20 -q postgres >/dev/null 2>&1 || die "pgbench -i failed"
	keep_segment "$start" wal-bulk-load
	query 'select pg_switch_wal()' >/dev/null
	query 'checkpoint'
	start=$(query 'select pg_walfile_name(pg_current_wal_lsn())')
	load 10000
	keep_segment "$start" wal-after-checkpoint
	load 20000
	start=$(query 'select pg_walfile_name(pg_current_wal_lsn())')
	load 40000
	query 'select pg_switch_wal()' >/dev/null
	keep_segment "$start" wal-transactions
	query 'checkpoint'
	as_server "$bindir/pg_ctl" -D "$work/pg" -m fast -w stop >/dev/null
	cat "$work"/pg/base/*/* | head -c 268435456 >"$work/heap-pages"
	head -c 16777216 /dev/urandom >"$work/incompressible" # what encrypted or compressed columns come to: the worst case
}

print_machine() {
	echo "| machine | |"
	echo "|---|---|"
	lscpu | awk -F': +' '/^Model|^CPU\(s\)|^CPU family|^Hypervisor|^L[123]d? cache/ { print "| " $1 " | " $2 " |" }'
	awk '/^MemTotal/ { printf "| memory | %.1f GiB |\n", $2 / 1048576 }' /proc/meminfo
	echo "| kernel | $(uname -sr) |"
	echo "| file system of TMPDIR | $(stat -f -c %T "$work") |"
	echo "| compiler | $(cc --version | head -n 1) |"
	echo "| load when it began | $(cut -d' ' -f1-3 /proc/loadavg) |"
}

# write + fsync of one file by dd, nine times; dd's own seconds
print_disk() {
	echo
	echo "| disk | ms | best | worst | MB/s |"
	echo "|---|---:|---:|---:|---:|"
	for file in wal-transactions heap-pages; do
		for _ in 1 2 3 4 5 6 7 8 9; do
			rm -f "$work/out"
			dd if="$work/$file" of="$work/out" bs=1M conv=fsync 2>&1 | awk '/copied/ { print $1, $(NF - 3) }'
		done | sort -n -k2 | awk -v file="$file" '{ bytes = $1; s[NR] = $2 }
			END { printf "| write and fsync %s, %.0f MiB | %.1f | %.1f | %.1f | %.0f |\n",
				file, bytes / 1048576, s[5] * 1000, s[1] * 1000, s[9] * 1000, bytes / s[5] / 1e6 }'
	done
	rm -f "$work/out"
}

build() { # tests target...
	tests=$1
	shift
	if ! meson setup "$work/build" "$source_root" -Dbuildtype=release -Dtests="$tests" >"$work/build.log" 2>&1 ||
		! ninja -C "$work/build" "$@" >>"$work/build.log" 2>&1; then
		cat "$work/build.log" >&2
		die "the build failed"
	fi
}

# Against pgBackRest, which has to be there.
run_against() { # script full|small
	command -v pgbackrest >/dev/null || die "no pgbackrest; hint: sh examples/dependencies.sh bench"
	build false
	cc -O2 -o "$work/timer" "$source_root/tests/bench/timer.c"
	mkdir "$work/bin"
	for name in pgcairn archive_command/pgcairn-wal-archive restore_command/pgcairn-wal-restore; do
		cp "$work/build/$name" "$work/bin"
	done
	print_machine
	echo "| PostgreSQL | $("$bindir/postgres" --version) |"
	echo "| peer | $(pgbackrest version) |"
	echo
	PYTHONDONTWRITEBYTECODE=1 python3 "$source_root/tests/bench/$1.py" "$2" "$work" "$bindir" "$work/bin" "$work/timer" || {
		tail -n 20 "$work/race.log" >&2
		die "the race was broken off"
	}
}

run_race() { # full|small
	run_against race "$1"
}

run_wal() { # full|small
	run_against wal "$1"
}

run_primary() { # full|small
	run_against primary "$1"
}

run_replay() { # full|small
	run_against replay "$1"
}

run_primitives() {
	build true
	make_data
	bench=$work/build/tests/bench
	print_machine
	print_disk
	"$bench/bench-primitives" "$work/wal-bulk-load" "$work/wal-after-checkpoint" "$work/wal-transactions" \
		"$work/incompressible" "$work/heap-pages"
	echo
	programs=
	for name in libc core core-init core-crypto core-crypto-init core-curl core-curl-init; do
		[ ! -x "$bench/start-$name" ] || programs="$programs $bench/start-$name"
	done
	# shellcheck disable=SC2086  # a list of words without blanks
	(cd "$bench" && ./bench-startup $programs)
}

# One row of the table: the median of five runs, all of which must end well.
measure_verb() { # name argument...
	name=$1
	shift
	rm -f "$work/result"
	"$work/timer" "$work/result" 5 "$work/build/pgcairn" --config "$site/pgcairn.conf" --quiet "$@" >"$work/output" ||
		die "$name failed"
	awk '$1 != 0 { exit 1 }' "$work/result" || die "$name failed: $(tail -n 3 "$work/output")"
	memory=$(awk '{ print $5 }' "$work/result" | sort -n | tail -n 1)
	sort -n -k2 "$work/result" | awk -v name="$name" -v memory="$memory" '{ s[NR] = $2 }
		END { printf "| %s | %.2f | %.2f | %.2f | %.0f |\n", name, s[3] / 1e6, s[1] / 1e6, s[5] / 1e6, memory / 1024 }'
}

measure_verbs() {
	echo
	echo "| $1 | s, median of 5 | best | worst | peak MiB |"
	echo "|---|---:|---:|---:|---:|"
	measure_verb "info --json" info --json
	measure_verb "find --time, at a twentieth" find --json --time "$(moment $((segments / 20)))"
	measure_verb "find --time, in the middle" find --json --time "$(moment $((segments / 2)))"
	measure_verb "find --lsn, in the middle" find --json --lsn "$(position $((segments / 2)))"
	measure_verb "find --name, in the middle" find --json --name "point-$((segments / 2 / 997 * 997))"
	measure_verb "restore --dry-run, latest" restore --dry-run --json --pgdata "$work/nothing"
	measure_verb "restore --dry-run, to a time" restore --dry-run --json --pgdata "$work/nothing" \
		--target-time "$(moment $((segments / 2)))"
}

# What tests/unit/synthetic.h puts into segment N.
moment() {
	date -u -d "@$((1700000000 + $1))" +%Y-%m-%dT%H:%M:%SZ
}

position() {
	printf '%X/%X' $(($1 / 4096)) $(($1 % 4096 * 1048576 + 40))
}

run_million() { # full|small
	segments=1000000
	[ "$1" = full ] || segments=20000
	build true pgcairn tests/bench/bench-million
	cc -O2 -o "$work/timer" "$source_root/tests/bench/timer.c"
	site=$(TMPDIR=$work "$work/build/tests/bench/bench-million" "$segments") || die "no repository could be made"
	print_machine
	echo "| segments | $segments |"
	echo "| repository | $(du -sh "$site/repo" | cut -f1) |"
	[ "$1" = full ] || measure_verbs "without indexes"
	rm -f "$work/result"
	"$work/timer" "$work/result" 1 "$work/build/pgcairn" --config "$site/pgcairn.conf" index >"$work/output" ||
		die "index failed"
	echo
	awk '{ printf "The indexes were written in %.1f s, with %.0f MiB at most: ", $2 / 1e6, $5 / 1024 }' "$work/result"
	cat "$work/output"
	measure_verbs "with indexes"
}

[ $# -ge 1 ] || usage
what=$1
size=full
case "$*" in
race | wal | primary | replay | primitives | million) ;;
"race small" | "wal small" | "primary small" | "replay small" | "million small") size=small ;;
*) usage ;;
esac
# shellcheck disable=SC2012  # names without surprises
bindir=${PG_BINDIR:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)}
[ -x "$bindir/initdb" ] || die "no initdb in '$bindir'; set PG_BINDIR"
work=$(mktemp -d "${TMPDIR:-/tmp}/pgcairn-bench.XXXXXX")
trap clean EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work"
mkdir "$work/archive"
[ "$(id -u)" != 0 ] || chown postgres "$work" "$work/archive"
"run_$what" "$size"
