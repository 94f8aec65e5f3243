// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_redirect_err: every way in which a redirect goes wrong, beside those that are right.
 *
 * Maps: ports (DEVMAP, 4): 0 and 1 hold ports, 2 and 3 stay empty.
 *       results (PERCPU_ARRAY, 64 x u64): by 8 x case + result of the helper, packets.
 * Helpers: bpf_redirect_map, bpf_redirect, bpf_map_lookup_elem.
 * Expect: the low three bits of the source MAC address choose the case of enum way_wrong. XDP_REDIRECT where there is a
 * port (PORT, and BROADCAST to what is there); the action in the flags' low bits where the entry is empty or there is no
 * such index; XDP_ABORTED for flags that do not exist. NO_TARGET returns XDP_REDIRECT without having named a target, and
 * NO_SUCH_PORT names a port that does not exist: both are seen only where the packet is sent on, and count as errors
 * there. A packet without an Ethernet header is XDP_DROP.
 */
#include "parse.h"

enum way_wrong { PORT, EMPTY_ABORTS, EMPTY_PASSES, NO_INDEX_TX, BAD_FLAGS, BROADCAST, NO_TARGET, NO_SUCH_PORT };

#define CASES 8
#define NO_FLAG (1ULL << 40)
#define NO_IFINDEX 0x7ffffff0

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CASES * 8);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

static __always_inline long attempt(__u32 which)
{
	switch (which) {
	case PORT:
		return bpf_redirect_map(&ports, 1, 0);
	case EMPTY_ABORTS:
		return bpf_redirect_map(&ports, 2, XDP_ABORTED);
	case EMPTY_PASSES:
		return bpf_redirect_map(&ports, 3, XDP_PASS);
	case NO_INDEX_TX:
		return bpf_redirect_map(&ports, 4, XDP_TX);
	case BAD_FLAGS:
		return bpf_redirect_map(&ports, 0, NO_FLAG);
	case BROADCAST:
		return bpf_redirect_map(&ports, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
	case NO_SUCH_PORT:
		return bpf_redirect(NO_IFINDEX, 0);
	default:
		return XDP_REDIRECT;
	}
}

SEC("xdp")
int xdp_redirect_err(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	__u32 which, at;
	__u64 *packets;
	long action;

	if (!take_eth(&c, &eth))
		return XDP_DROP;
	which = eth->h_source[5] % CASES;
	action = attempt(which);
	at = which * 8 + (action & 7);
	packets = bpf_map_lookup_elem(&results, &at);
	if (packets)
		*packets += 1;
	return action;
}

char _license[] SEC("license") = "Dual MIT/GPL";
