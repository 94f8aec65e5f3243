// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_tcpdump: capture every n-th packet into the perf buffer of the CPU that it came in on.
 *
 * Maps: samples (PERF_EVENT_ARRAY): a struct sample, followed by the first bytes of the packet.
 *       .data: one_in, how seldom (0 captures nothing, 1 everything), may be changed at any time.
 *       .bss: seen, packets seen on all CPUs.
 * Helpers: bpf_perf_event_output.
 * Expect: XDP_PASS, the packet untouched. Where the CPU has no buffer the sample is lost.
 */
#include "parse.h"

#define SNAP_MAX 1024
/* Where the length of what follows the event's own bytes stands in the flags. */
#define LEN_SHIFT 32

struct sample {
	__u16 magic;
	__u16 kept;
	__u32 len;
	__u32 ifindex;
	__u32 queue;
};

#define SAMPLE_MAGIC 0xca97

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} samples SEC(".maps");

__u32 one_in = 3;
__u64 seen = 0;

SEC("xdp")
int xdp_tcpdump(struct xdp_md *ctx)
{
	__u64 number = __sync_fetch_and_add(&seen, 1);
	__u32 len = ctx->data_end - ctx->data;
	__u32 every = one_in;
	struct sample sample = { .magic = SAMPLE_MAGIC };
	__u64 kept;

	if (every == 0 || number % every != 0)
		return XDP_PASS;
	kept = len < SNAP_MAX ? len : SNAP_MAX;
	sample.kept = kept;
	sample.len = len;
	sample.ifindex = ctx->ingress_ifindex;
	sample.queue = ctx->rx_queue_index;
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU | kept << LEN_SHIFT, &sample, sizeof(sample));
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
