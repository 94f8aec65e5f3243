// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_metadata: steer by what the NIC says of a packet: its hash, its VLAN tag, when it came.
 *
 * Maps: told (PERCPU_ARRAY, 4 x u64): packets, and those of which the NIC told hash, timestamp and VLAN.
 *       queues (XSKMAP, 64): by the hash modulo queue_count (.data).
 * Kernel functions: bpf_xdp_metadata_rx_hash, bpf_xdp_metadata_rx_timestamp, bpf_xdp_metadata_rx_vlan_tag. Helpers:
 *       bpf_map_lookup_elem, bpf_redirect_map, bpf_xdp_adjust_meta.
 * Expect: what the NIC told stands before the packet as metadata (struct hints), where there is room for it. A packet of
 * a VLAN above LAST_VLAN is XDP_DROP; one with a hash goes to the queue of that hash (XDP_PASS where that is empty);
 * others are XDP_PASS. Linux loads it for one device only (BPF_F_XDP_DEV_BOUND_ONLY) and cannot test-run it.
 */
#include "parse.h"

#define LAST_VLAN 3999
#define VLAN_ID 0x0fff

enum what { PACKETS, HASHED, STAMPED, TAGGED, WHATS };

enum xdp_rss_hash_type { NOT_HASHED };

extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, __u64 *timestamp) __ksym;
extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash, enum xdp_rss_hash_type *type) __ksym;
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *vlan_proto, __u16 *vlan_tci) __ksym;

struct hints {
	__u64 timestamp;
	__u32 hash;
	__u32 hash_type;
	__be16 vlan_proto;
	__u16 vlan_tci;
	__u32 valid; /* bit 0 hash, bit 1 timestamp, bit 2 VLAN */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WHATS);
	__type(key, __u32);
	__type(value, __u64);
} told SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} queues SEC(".maps");

__u32 queue_count = 4;

static __always_inline void count(__u32 what)
{
	__u64 *packets = bpf_map_lookup_elem(&told, &what);

	if (packets)
		*packets += 1;
}

SEC("xdp")
int xdp_metadata(struct xdp_md *ctx)
{
	enum xdp_rss_hash_type type = NOT_HASHED;
	struct hints hints = {};
	__u32 queues_now = queue_count;
	__be16 vlan_proto = 0;
	__u64 timestamp = 0;
	__u16 vlan_tci = 0;
	__u32 hash = 0;
	void *meta;

	count(PACKETS);
	if (bpf_xdp_metadata_rx_hash(ctx, &hash, &type) == 0) {
		count(HASHED);
		hints.hash = hash;
		hints.hash_type = type;
		hints.valid |= 1;
	}
	if (bpf_xdp_metadata_rx_timestamp(ctx, &timestamp) == 0) {
		count(STAMPED);
		hints.timestamp = timestamp;
		hints.valid |= 2;
	}
	if (bpf_xdp_metadata_rx_vlan_tag(ctx, &vlan_proto, &vlan_tci) == 0) {
		count(TAGGED);
		hints.vlan_proto = vlan_proto;
		hints.vlan_tci = vlan_tci;
		hints.valid |= 4;
	}
	if ((hints.valid & 4) && (hints.vlan_tci & VLAN_ID) > LAST_VLAN)
		return XDP_DROP;
	if (hints.valid && bpf_xdp_adjust_meta(ctx, -(int)sizeof(hints)) == 0) {
		meta = (void *)(long)ctx->data_meta;
		if (meta + sizeof(hints) <= (void *)(long)ctx->data)
			__builtin_memcpy(meta, &hints, sizeof(hints));
	}
	if ((hints.valid & 1) && queues_now)
		return bpf_redirect_map(&queues, hints.hash % queues_now, XDP_PASS);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
