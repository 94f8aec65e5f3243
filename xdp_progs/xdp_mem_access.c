// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_mem_access: for benches, touch a packet's memory or leave it alone, and count.
 *
 * Maps: config (ARRAY, 1): what to touch (enum touch) and the action to return.
 *       packets (PERCPU_ARRAY, 1 x u64): packets seen.
 *       senders (PERCPU_HASH, 1024): source MAC address -> packets, counted when the mode is COUNT_SENDER; a sender
 *       that finds the map full is not counted.
 * Helpers: bpf_map_lookup_elem, bpf_map_update_elem.
 * Expect: the configured action; a number that is no action is XDP_ABORTED. In modes READ and WRITE the first
 * Ethernet header is read, and in WRITE its MAC addresses are exchanged. Mode NOTHING, the state after loading with
 * XDP_ABORTED as its action, does not touch the packet.
 */
#include "parse.h"

enum touch { NOTHING, READ, WRITE, COUNT_SENDER };

struct config {
	__u32 touch;
	__u32 action;
};

struct sender {
	__u8 mac[ETH_ALEN];
	__u16 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct sender);
	__type(value, __u64);
} senders SEC(".maps");

static __always_inline void count_sender(const struct ethhdr *eth)
{
	struct sender key = {};
	__u64 one = 1;
	__u64 *seen;

	__builtin_memcpy(key.mac, eth->h_source, ETH_ALEN);
	seen = bpf_map_lookup_elem(&senders, &key);
	if (seen)
		*seen += 1;
	else
		bpf_map_update_elem(&senders, &key, &one, BPF_NOEXIST);
}

SEC("xdp")
int xdp_mem_access(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct config *wanted;
	struct ethhdr *eth;
	__u32 zero = 0;
	__u64 *seen;

	wanted = bpf_map_lookup_elem(&config, &zero);
	seen = bpf_map_lookup_elem(&packets, &zero);
	if (!wanted || !seen)
		return XDP_ABORTED;
	*seen += 1;
	if (wanted->touch != NOTHING) {
		if (!take_eth(&c, &eth))
			return XDP_ABORTED;
		/* The packet is read for its own sake: a frame to no one is not for us. */
		if (!(eth->h_dest[0] | eth->h_dest[1] | eth->h_dest[2] | eth->h_dest[3] | eth->h_dest[4] |
		      eth->h_dest[5]))
			return XDP_DROP;
		if (wanted->touch == WRITE)
			swap_macs(eth);
		if (wanted->touch == COUNT_SENDER)
			count_sender(eth);
	}
	return wanted->action <= XDP_REDIRECT ? wanted->action : XDP_ABORTED;
}

char _license[] SEC("license") = "Dual MIT/GPL";
