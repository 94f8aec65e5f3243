// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_tx: swap the MAC addresses and send the packet back.
 *
 * Maps: none. Helpers: none.
 * Expect: XDP_TX, the first twelve bytes exchanged six by six, the rest untouched. A packet without a whole
 * Ethernet header is XDP_DROP.
 */
#include "parse.h"

SEC("xdp")
int xdp_tx(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	if (!take_eth(&c, &eth))
		return XDP_DROP;
	swap_macs(eth);
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
