// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_dump: capture packets into a ring, from which a reader makes a pcap file.
 *
 * Maps: captured (RINGBUF, 1 MiB): a struct capture for each packet, cut behind the last byte that it holds.
 *       .data: snap_len, bytes kept of a packet, may be changed at any time (more than SNAP_MAX is SNAP_MAX, 0
 *       captures nothing).
 * Helpers: bpf_xdp_get_buff_len, bpf_xdp_load_bytes, bpf_ringbuf_output.
 * Expect: XDP_PASS, the packet untouched, and one record. A record that finds the ring full is lost.
 */
#include "parse.h"

#define SNAP_MAX 384

struct capture {
	__u32 ifindex;
	__u32 queue;
	__u32 len; /* of the packet */
	__u32 kept; /* of it in this record */
	__u8 bytes[SNAP_MAX];
};

#define CAPTURE_HEAD __builtin_offsetof(struct capture, bytes)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} captured SEC(".maps");

__u32 snap_len = SNAP_MAX;

SEC("xdp")
int xdp_dump(struct xdp_md *ctx)
{
	struct capture capture = {};
	__u64 len = bpf_xdp_get_buff_len(ctx);
	__u64 kept = snap_len;

	if (kept > len)
		kept = len;
	kept = opaque(kept);
	if (kept > SNAP_MAX)
		kept = SNAP_MAX;
	if (kept == 0)
		return XDP_PASS;
	capture.ifindex = ctx->ingress_ifindex;
	capture.queue = ctx->rx_queue_index;
	capture.len = len;
	capture.kept = kept;
	if (bpf_xdp_load_bytes(ctx, 0, capture.bytes, kept) == 0)
		bpf_ringbuf_output(&captured, &capture, CAPTURE_HEAD + kept, 0);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
