// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/* One program in two versions, which share `counts`: packets by version. `shape` is another map in each, by its value. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, SHAPE);
} shape SEC(".maps");

SEC("xdp")
int version(struct xdp_md *ctx)
{
	__u32 zero = 0, which = WHICH;
	__u64 *count = bpf_map_lookup_elem(&counts, &which);
	SHAPE *seen = bpf_map_lookup_elem(&shape, &zero);

	if (!count || !seen)
		return XDP_ABORTED;
	*count += 1;
	*seen += 1;
	return ACTION;
}

char _license[] SEC("license") = "GPL";
