// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/* Sends a packet back with the time at which the device says that it came, in its bytes 16 to 23; zeroes where it says none. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, __u64 *time) __ksym;

SEC("xdp")
int stamp(struct xdp_md *ctx)
{
	char *data = (char *)(long)ctx->data;
	__u64 time = 0;

	if (data + 24 > (char *)(long)ctx->data_end)
		return XDP_DROP;
	if (bpf_xdp_metadata_rx_timestamp(ctx, &time) != 0)
		time = 0;
	__builtin_memcpy(data + 16, &time, sizeof(time));
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
