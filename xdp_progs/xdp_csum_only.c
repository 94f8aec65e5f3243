// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_csum_only: the checksum loop of xdp_csum without parsing and without a map.
 *
 * Maps: none. Helpers: bpf_csum_diff.
 * Expect: the first 32 bytes are summed 32 times, the sum starting at 0; its 16-bit fold is written to bytes
 * 10 and 11 (the end of the source MAC address), in the packet's own byte order, and the packet is XDP_TX. A
 * packet of fewer than 32 bytes is XDP_DROP, untouched.
 */
#include "parse.h"

#define ROUNDS 32
#define SUMMED_BYTES 32

SEC("xdp")
int xdp_csum_only(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct ethhdr *eth = data;
	__s64 sum = 0;
	__u16 folded;
	int i;

	if (data + SUMMED_BYTES > data_end)
		return XDP_DROP;

#pragma clang loop unroll(disable)
	for (i = 0; i < ROUNDS; i++)
		sum = bpf_csum_diff(NULL, 0, data, SUMMED_BYTES, sum);
	folded = csum_fold(sum);
	__builtin_memcpy(&eth->h_source[4], &folded, sizeof(folded));
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
