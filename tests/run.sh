#!/bin/sh
# The one command for all tests:
#
#   sh tests/run.sh [--all] [--no-install] [-- pytest options]
#
# Installs what is missing, builds with ASan and UBSan and warnings as errors into build-tests/, runs lints, unit, system and
# fault tests, and ends with one line: N passed, N failed, N skipped. --all adds what takes longer than the short tier may.
# As root the servers run as user postgres; binaries are copied to /tmp, so nobody else needs to see the checkout.
set -eu
cd "$(dirname "$0")/.."

build=$PWD/build-tests
tier=
no_install=
while [ $# -gt 0 ]; do
	case $1 in
	--all) tier=--all ;;
	--no-install) no_install=--no-install ;;
	--) shift && break ;;
	*) echo "usage: sh tests/run.sh [--all] [--no-install] [-- pytest options]" >&2 && exit 2 ;;
	esac
	shift
done

broken() {
	printf '%s\n0 passed, 1 failed, 0 skipped\n' "$1"
	exit 1
}

sh examples/dependencies.sh $no_install build run test ${tier:+majors} || broken 'FAILED dependencies'

rm -rf "$build/results"
[ -f "$build/build.ninja" ] || rm -rf "$build"
[ -d "$build" ] || meson setup "$build" -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Dwerror=true ||
	broken 'FAILED meson setup'
ninja -C "$build" || broken 'FAILED build'
mkdir "$build/results"

# TAP, so that every case counts and not only every program. A failure is found in the results, not in the status.
CMOCKA_MESSAGE_OUTPUT=TAP UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	meson test -C "$build" --no-rebuild --print-errorlogs || true
[ ! -f "$build/meson-logs/testlog.json" ] || mv "$build/meson-logs/testlog.json" "$build/results/unit.json"

# A file's tests stay in one process, since they share its servers.
PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest -p no:cacheprovider -q --build="$build" --dist=loadfile -n auto --maxprocesses=4 \
	--junitxml="$build/results/pytest.xml" $tier "$@" tests/lint tests/system tests/fault || true

/usr/bin/python3 tests/count.py "$build/results"
