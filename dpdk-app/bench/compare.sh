#!/bin/sh
# l2fwd against the plain C loop, net_null to net_null, interleaved; prints the best of each and how fast l2fwd is by comparison.
#
#   compare.sh [PROGRAM ARGUMENTS OF L2FWD]      default: --prog xdp_tx.o of this repository; --native tx: no program at all
#
# Environment: COUNT packets a run (3 million), ROUNDS (10), L2FWD (path of the binary), BUILD (folder for the C loop),
# MEMORY (EAL options; default --no-huge -m 256 --no-shconf; where huge pages are reserved, --in-memory is nearer to real use).
# Other work on the machine only ever slows a run down, so each side's fastest stretch of 256 rounds, a fraction of a millisecond, is what counts.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
COUNT=${COUNT:-3000000}
ROUNDS=${ROUNDS:-10}
BUILD=${BUILD:-$here/build}
L2FWD=${L2FWD:-${CARGO_TARGET_DIR:-$here/../../target}/release/l2fwd}
[ $# -gt 0 ] || set -- --prog "$here/../../xdp_progs/obj/xdp_tx.o"
[ -x "$L2FWD" ] || { echo "compare.sh: no $L2FWD: cargo build --release -p uxdp-l2fwd, or set L2FWD" >&2; exit 2; }

make -s -C "$here" BUILD="$BUILD"
XDG_RUNTIME_DIR=$(mktemp -d)
export XDG_RUNTIME_DIR
trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
eal="${MEMORY:---no-huge -m 256 --no-shconf} --no-pci --log-level=error --vdev=net_null0 --vdev=net_null1"

round=0
while [ "$round" -lt "$ROUNDS" ]; do
	# shellcheck disable=SC2086 # the EAL options are words
	"$BUILD/loop" $eal -- "$COUNT" | sed -n 's/.*"fastest": \([0-9.]*\).*/loop \1/p'
	# shellcheck disable=SC2086
	"$L2FWD" $eal -- "$@" --count "$COUNT" --quiet --json |
		awk -F'[:,]' '/"peak_packets_per_second"/ { printf "l2fwd %.3f\n", 1e9 / $2 }'
	round=$((round + 1))
done | awk '
	{ if (!($1 in best) || $2 < best[$1]) best[$1] = $2; runs[$1]++ }
	END {
		if (runs["loop"] == 0 || runs["l2fwd"] == 0) { print "compare.sh: a side did not run" > "/dev/stderr"; exit 3 }
		printf "C loop %.2f ns a packet, l2fwd %.2f ns: l2fwd runs at %.0f %% of the C loop\n",
			best["loop"], best["l2fwd"], 100 * best["loop"] / best["l2fwd"]
	}'
