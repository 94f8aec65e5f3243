// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_maps: a histogram of packet lengths.
 *
 * Maps: lengths (HASH, 16 entries): u32 length rounded down to a multiple of 64 -> u64 packets.
 * Helpers: bpf_map_lookup_elem, bpf_map_update_elem.
 * Expect: XDP_PASS, the packet untouched, and its bucket one higher; the first packet of a bucket makes it.
 * When the map is full, a packet that would need a seventeenth bucket is XDP_DROP and is counted nowhere.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define BUCKET_WIDTH 64

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} lengths SEC(".maps");

SEC("xdp")
int xdp_maps(struct xdp_md *ctx)
{
	__u32 bucket = (ctx->data_end - ctx->data) & ~(BUCKET_WIDTH - 1);
	__u64 *packets = bpf_map_lookup_elem(&lengths, &bucket);
	__u64 one = 1;

	if (packets) {
		__sync_fetch_and_add(packets, 1);
		return XDP_PASS;
	}
	if (bpf_map_update_elem(&lengths, &bucket, &one, BPF_NOEXIST) < 0) {
		/* Either another CPU made the bucket meanwhile, or the map is full. */
		packets = bpf_map_lookup_elem(&lengths, &bucket);
		if (!packets)
			return XDP_DROP;
		__sync_fetch_and_add(packets, 1);
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
