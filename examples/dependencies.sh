#!/bin/sh
# The one list of Debian 12 packages: what building, running, testing and fuzzing pgcairn need.
#
#   sh examples/dependencies.sh [--no-install] build|run|test|fuzz|majors|bench ...
#
# Installs what is missing of the named groups and nothing else; with --no-install it only says what that is. majors is what
# fetches servers of the PostgreSQL majors that Debian 12 does not have (tests/system/majors.py).
# PostgreSQL's package makes and starts a cluster "15/main" when it is first installed. Nobody asked us for one, so a
# drop-in for pg_createcluster forbids it while we install, and is gone afterwards.
set -eu

build='gcc libc6-dev meson ninja-build pkgconf libpq-dev liblz4-dev libzstd-dev libsodium-dev
	libinih-dev libjansson-dev libxxhash-dev'
run='postgresql-15 util-linux'
test='libcmocka-dev libfuse3-dev fuse3 systemd python3 python3-pytest python3-pytest-xdist python3-psycopg2 clang-format shellcheck strace faketime
	python3-nacl python3-lz4 python3-zstandard python3-crc32c'
fuzz='clang libclang-rt-dev'
bench='pgbackrest python3'

say() {
	printf 'dependencies: %s\n' "$*" >&2
}

die() {
	say "$@"
	exit 1
}

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		env DEBIAN_FRONTEND=noninteractive "$@"
	else
		sudo env DEBIAN_FRONTEND=noninteractive "$@"
	fi
}

apt_install() {
	as_root apt-get install -y -qq --no-install-recommends "$@" >&2
}

# The package lists may be absent (a fresh root) or stale: try, update, try again.
install_packages() {
	if ! apt-get install -s -qq --no-install-recommends "$@" >/dev/null 2>&1 || ! apt_install "$@"; then
		as_root apt-get update -qq >&2
		apt_install "$@"
	fi
}

drop_in_directory=/etc/postgresql-common/createcluster.d
drop_in=$drop_in_directory/zz-pgcairn-no-main-cluster.conf
made_directory=

allow_main_cluster() {
	as_root rm -f "$drop_in"
	if [ -n "$made_directory" ]; then
		as_root rmdir "$drop_in_directory" 2>/dev/null || true
	fi
}

forbid_main_cluster() {
	installed postgresql-common || install_packages postgresql-common
	[ -d "$drop_in_directory" ] || made_directory=yes
	trap allow_main_cluster EXIT
	trap 'exit 130' INT TERM HUP
	as_root mkdir -p "$drop_in_directory"
	echo 'create_main_cluster = false' | as_root tee "$drop_in" >/dev/null
	[ "$(pg_conftool /etc/postgresql-common/createcluster.conf show -bs create_main_cluster 2>/dev/null)" = off ] ||
		die "createcluster.conf does not read $drop_in_directory; installing postgresql-15 would make a cluster." \
			'hint: install postgresql-15 by hand and run this again'
}

usage='usage: dependencies.sh [--no-install] build|run|test|fuzz|majors|bench ...'
print_only=
named=
wanted=
for word; do
	case $word in
	--no-install) print_only=yes ;;
	build) wanted="$wanted $build" ;;
	run) wanted="$wanted $run" ;;
	test) wanted="$wanted $test" ;;
	bench) wanted="$wanted $bench" ;;
	fuzz) wanted="$wanted $fuzz" ;;
	majors) command -v npm >/dev/null || wanted="$wanted npm" ;; # an npm of another origin is as good, and conflicts
	*) die "unknown word '$word'; $usage" ;;
	esac
	[ "$word" = --no-install ] || named=yes
done
[ -n "$named" ] || die "$usage"
command -v dpkg-query >/dev/null || die "this is not Debian; install the equivalents of:$wanted"

missing=
for package in $wanted; do
	installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
[ -z "$print_only" ] || die "missing packages:$missing; hint: apt-get install --no-install-recommends$missing"
[ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
	die "missing packages:$missing, and this user is not root and has no sudo; hint: as root, apt-get install --no-install-recommends$missing"

say "installing$missing"
case $missing in *postgresql-15*) forbid_main_cluster ;; esac
# shellcheck disable=SC2086  # a list of names
install_packages $missing
