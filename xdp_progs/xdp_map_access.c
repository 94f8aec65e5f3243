// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_map_access: count packets and bytes while a flag asks for it.
 *
 * Maps: flags (ARRAY, 1 x u32): bit 0 counts packets, bit 1 counts bytes; zero, its state after loading,
 *       counts nothing.
 *       counters (PERCPU_ARRAY, 2 x u64): 0 packets, 1 bytes.
 * Helpers: bpf_map_lookup_elem.
 * Expect: XDP_PASS, the packet untouched. A control plane may change the flags at any time; the next packet
 * obeys.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum { COUNT_PACKETS = 1, COUNT_BYTES = 2 };
enum { PACKETS, BYTES, COUNTERS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} flags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void add(__u32 counter, __u64 amount)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		*value += amount;
}

SEC("xdp")
int xdp_map_access(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u32 *flag = bpf_map_lookup_elem(&flags, &zero);

	if (!flag)
		return XDP_ABORTED;
	if (*flag & COUNT_PACKETS)
		add(PACKETS, 1);
	if (*flag & COUNT_BYTES)
		add(BYTES, ctx->data_end - ctx->data);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
