// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_drop_pattern: every action in a repeating pattern, for benches and for counting what a port does with each.
 *
 * Maps: pattern (ARRAY, 16 x u32): the actions, one after the other; the pattern ends before the first value above
 *       XDP_REDIRECT (4). All zeros, its state after loading, aborts everything.
 *       place (PERCPU_ARRAY, 1 x u32): the number of the next packet in the pattern.
 *       actions (PERCPU_ARRAY, 5 x u64): packets by action.
 *       lengths (PERCPU_HASH, 256): u16 length -> packets that were dropped; beyond 256 lengths none is added.
 * Helpers: bpf_map_lookup_elem, bpf_map_update_elem.
 * Expect: the pattern's actions in turn, on each CPU from its first on; an XDP_TX packet has its MAC addresses
 * exchanged. XDP_REDIRECT comes without a target. A pattern that is empty is XDP_PASS.
 */
#include "parse.h"

#define PATTERN_LEN 16
#define ACTIONS (XDP_REDIRECT + 1)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PATTERN_LEN);
	__type(key, __u32);
	__type(value, __u32);
} pattern SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} place SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ACTIONS);
	__type(key, __u32);
	__type(value, __u64);
} actions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, __u16);
	__type(value, __u64);
} lengths SEC(".maps");

/* The action whose turn it is; the pattern begins anew where it ends. */
static __always_inline __u32 next_action(void)
{
	__u32 zero = 0;
	__u32 *at = bpf_map_lookup_elem(&place, &zero);
	__u32 *action;
	__u32 index;

	if (!at)
		return XDP_PASS;
	index = *at;
	action = bpf_map_lookup_elem(&pattern, &index);
	if (!action || *action >= ACTIONS) {
		index = 0;
		action = bpf_map_lookup_elem(&pattern, &index);
		if (!action || *action >= ACTIONS)
			return XDP_PASS;
	}
	*at = index + 1;
	return *action;
}

static __always_inline void count_length(struct xdp_md *ctx)
{
	__u16 len = ctx->data_end - ctx->data;
	__u64 *dropped = bpf_map_lookup_elem(&lengths, &len);
	__u64 one = 1;

	if (dropped)
		*dropped += 1;
	else
		bpf_map_update_elem(&lengths, &len, &one, BPF_NOEXIST);
}

SEC("xdp")
int xdp_drop_pattern(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	__u32 action = next_action();
	struct ethhdr *eth;
	__u64 *packets;

	packets = bpf_map_lookup_elem(&actions, &action);
	if (packets)
		*packets += 1;
	if (action == XDP_TX && take_eth(&c, &eth))
		swap_macs(eth);
	if (action == XDP_DROP)
		count_length(ctx);
	return action;
}

char _license[] SEC("license") = "Dual MIT/GPL";
