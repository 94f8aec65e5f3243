// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_vlan: push, pop and rewrite VLAN tags.
 *
 * Maps: done (PERCPU_ARRAY, 5 x u64): packets by enum what.
 *       .data: untagged_vlan, the VLAN that untagged packets get (0: none); popped_vlan, whose tag is taken away;
 *       rewritten_from and rewritten_to. They may be changed at any time.
 * Helpers: bpf_map_lookup_elem, bpf_xdp_adjust_head.
 * Expect: XDP_TX with the outermost tag changed and the MAC addresses exchanged; priority bits stay. A tag of none of
 * these VLANs is XDP_PASS, untouched, and so is an untagged packet where untagged_vlan is 0. A header cut short, and a
 * packet that cannot grow, are XDP_DROP.
 */
#include "parse.h"

#define VLAN_ID 0x0fff

enum what { PUSHED, POPPED, REWRITTEN, LEFT_ALONE, DROPPED, WHATS };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WHATS);
	__type(key, __u32);
	__type(value, __u64);
} done SEC(".maps");

__u16 untagged_vlan = 100;
__u16 popped_vlan = 10;
__u16 rewritten_from = 101;
__u16 rewritten_to = 202;

static __always_inline int finish(__u32 what)
{
	__u64 *packets = bpf_map_lookup_elem(&done, &what);

	if (packets)
		*packets += 1;
	return what == DROPPED ? XDP_DROP : what == LEFT_ALONE ? XDP_PASS : XDP_TX;
}

/* Both addresses, held while the header moves: old and new place overlap. */
struct macs {
	__u8 dest[ETH_ALEN];
	__u8 source[ETH_ALEN];
};

static __always_inline struct macs macs_of(const struct ethhdr *eth)
{
	struct macs macs;

	__builtin_memcpy(macs.dest, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(macs.source, eth->h_source, ETH_ALEN);
	return macs;
}

static __always_inline void write_exchanged(struct ethhdr *eth, const struct macs *macs)
{
	__builtin_memcpy(eth->h_dest, macs->source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, macs->dest, ETH_ALEN);
}

/* The addresses move four bytes to the front, and the tag stands behind them. */
static __always_inline int push(struct xdp_md *ctx, struct ethhdr *eth, __u16 vlan)
{
	struct macs macs = macs_of(eth);
	__be16 proto = eth->h_proto;
	struct vlan_tag *tag;
	struct cursor c;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*tag)))
		return finish(DROPPED);
	c = cursor_of(ctx);
	if (!take_eth(&c, &eth) || !take_vlan(&c, &tag))
		return finish(DROPPED);
	write_exchanged(eth, &macs);
	eth->h_proto = bpf_htons(ETH_P_8021Q);
	tag->tci = bpf_htons(vlan & VLAN_ID);
	tag->next_proto = proto;
	return finish(PUSHED);
}

/* The addresses move four bytes to the back, over the tag. */
static __always_inline int pop(struct xdp_md *ctx, struct ethhdr *eth, const struct vlan_tag *tag)
{
	struct macs macs = macs_of(eth);
	__be16 proto = tag->next_proto;
	struct cursor c;

	if (bpf_xdp_adjust_head(ctx, sizeof(*tag)))
		return finish(DROPPED);
	c = cursor_of(ctx);
	if (!take_eth(&c, &eth))
		return finish(DROPPED);
	write_exchanged(eth, &macs);
	eth->h_proto = proto;
	return finish(POPPED);
}

SEC("xdp")
int xdp_vlan(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct vlan_tag *tag;
	struct ethhdr *eth;
	__u16 vlan;

	if (!take_eth(&c, &eth))
		return finish(DROPPED);
	if (!is_vlan(eth->h_proto)) {
		vlan = untagged_vlan;
		return vlan ? push(ctx, eth, vlan) : finish(LEFT_ALONE);
	}
	if (!take_vlan(&c, &tag))
		return finish(DROPPED);
	vlan = bpf_ntohs(tag->tci) & VLAN_ID;
	if (vlan == popped_vlan)
		return pop(ctx, eth, tag);
	if (vlan == rewritten_from) {
		tag->tci = (tag->tci & bpf_htons(~VLAN_ID & 0xffff)) | bpf_htons(rewritten_to & VLAN_ID);
		swap_macs(eth);
		return finish(REWRITTEN);
	}
	return finish(LEFT_ALONE);
}

char _license[] SEC("license") = "Dual MIT/GPL";
