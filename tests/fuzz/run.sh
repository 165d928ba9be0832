#!/bin/sh
# The fuzzers, for as long as you like:
#
#   sh tests/fuzz/run.sh [--seconds N] [--work DIR] [TARGET...]
#
# Builds with clang, libFuzzer, ASan and UBSan, and gives each target N seconds of processor time of its own (default 60), so
# that a busy machine does not shorten the search. DIR (default: a temporary one) keeps the build, the inputs found so far and
# what crashed; name the same one again and the search goes on from there. What the committed corpus did not reach and is small
# enough to be kept is copied into tests/fuzz/corpus by --keep. Ends with one line a target; status 1 when something was found.
# Needs the packages of the group "fuzz" in examples/dependencies.sh.
set -eu
cd "$(dirname "$0")/../.."

seconds=60
work=
keep=
while [ $# -gt 0 ]; do
	case $1 in
	--seconds) seconds=$2 && shift 2 ;;
	--work) work=$2 && shift 2 ;;
	--keep) keep=yes && shift ;;
	-*) echo "usage: sh tests/fuzz/run.sh [--seconds N] [--work DIR] [--keep] [TARGET...]" >&2 && exit 2 ;;
	*) break ;;
	esac
done
temporary=
if [ -z "$work" ]; then
	work=$(mktemp -d)
	temporary=$work
fi
trap '[ -z "$temporary" ] || rm -rf "$temporary"' EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$work/found"
work=$(cd "$work" && pwd)

[ -f "$work/build/build.ninja" ] ||
	CC=clang meson setup "$work/build" -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized
ninja -C "$work/build" >"$work/build.$$.log" || { cat "$work/build.$$.log" && exit 1; }

if [ $# -eq 0 ]; then
	for file in tests/fuzz/fuzz_*.c; do
		name=${file#tests/fuzz/fuzz_}
		set -- "$@" "${name%.c}"
	done
fi

# cpu: the processor seconds that what this shell started has used. Not in a subshell, which would have used none.
measure() {
	times >"$work/times.$$"
	cpu=$(awk 'NR == 2 { split($0, t, /[ ms]+/); printf "%d", t[1] * 60 + t[2] + t[3] * 60 + t[4] }' "$work/times.$$")
}

# A slice may end early, on wall-clock time, so slices go on until the processor time is used.
search() {
	measure
	end=$((cpu + seconds))
	while left=$((end - cpu)) && [ "$left" -gt 0 ]; do
		"$work/build/tests/fuzz/fuzz_$1" -max_total_time="$((left < 300 ? left : 300))" -timeout=30 -rss_limit_mb=2048 -max_len=1048576 \
			-artifact_prefix="$work/found/$1-" -print_final_stats=1 "$work/corpus/$1" "tests/fuzz/corpus/$1" \
			>"$work/$1.log" 2>&1 || return 1
		measure
	done
}

# The smallest set of inputs that reaches what all of them reach; the committed ones are preferred.
merge() {
	rm -rf "$work/merged" && mkdir "$work/merged"
	"$work/build/tests/fuzz/fuzz_$1" -merge=1 -max_len=16384 "$work/merged" "tests/fuzz/corpus/$1" "$work/corpus/$1" >"$work/$1.merge.log" 2>&1
	for input in "$work/merged"/*; do
		cmp -s "$input" "tests/fuzz/corpus/$1/$(basename "$input")" || cp "$input" "tests/fuzz/corpus/$1/"
	done
}

bad=0
for target; do
	mkdir -p "$work/corpus/$target"
	measure
	before=$cpu
	verdict=clean
	search "$target" || { verdict=FOUND && bad=1; }
	measure
	runs=$(awk '/stat::number_of_executed_units/ { n = $2 } END { print n + 0 }' "$work/$target.log")
	echo "$target: $verdict, $((cpu - before)) s of processor time, $runs runs in the last slice, $(find "$work/corpus/$target" -type f | wc -l) inputs"
	[ "$verdict" = clean ] || tail -n 40 "$work/$target.log"
	[ -z "$keep" ] || merge "$target"
done
[ "$bad" -eq 0 ] || { [ -z "$temporary" ] || { temporary= && echo "what was found is in $work/found"; }; }
exit "$bad"
