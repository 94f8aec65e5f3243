// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_pass: pass every packet.
 *
 * Maps: none. Helpers: none.
 * Expect: XDP_PASS, the packet untouched, whatever it is. The smallest program there is: two instructions.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
