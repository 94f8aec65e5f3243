#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The demonstration of `make run`: l2fwd with xdp_firewall between two ports, on a capture, without root, huge
# pages or a NIC.
#
# Port 0 reads xdp_progs/demo/firewall.pcap; what the rules of xdp_progs/demo/firewall.maps.json pass
# goes out of port 1, what they drop is freed. It ends by itself half a second after the last packet. Further arguments
# go to l2fwd.
set -eu

cd "$(dirname "$0")/.."
l2fwd=${CARGO_TARGET_DIR:-target}/release/l2fwd
if [ ! -x "$l2fwd" ]; then
	echo "$l2fwd is not built: cargo build --release -p uxdp-l2fwd" >&2
	exit 2
fi

# EAL keeps its sockets in XDG_RUNTIME_DIR, which a build machine may not have; and two demonstrations may run
# at once.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
chmod 700 "$work"

# The first core that we may use: it need not be core 0.
core=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*\([0-9]*\).*/\1/p' /proc/self/status)

XDG_RUNTIME_DIR=$work "$l2fwd" \
	--no-huge -m 256 --no-pci --no-shconf --log-level=error -l "${core:-0}" \
	"--vdev=net_pcap0,rx_pcap=xdp_progs/demo/firewall.pcap,tx_pcap=$work/port0.pcap" \
	"--vdev=net_pcap1,tx_pcap=$work/port1.pcap" \
	-- \
	--prog xdp_progs/obj/xdp_firewall.o --maps xdp_progs/demo/firewall.maps.json --exit-idle 500 --pass-port 1 --map-dump counters "$@"

cat <<'LEGEND'

In `counters`, each line is a rule's number: packets passed, packets dropped, bytes. Rules 16 and up are those of
xdp_progs/demo/firewall.maps.json; 0 is "no rule", 1 "not IPv4", 2 "malformed", 3 "VRRP refused".
LEGEND
