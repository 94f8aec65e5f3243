// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/* Packets in several buffers that go to a device: the program of the entry overwrites the last eight bytes, wherever they lie. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} devices SEC(".maps");

SEC("xdp.frags")
int jumbo(struct xdp_md *ctx)
{
	return bpf_redirect_map(&devices, 0, XDP_DROP);
}

SEC("xdp.frags/devmap")
int sign(struct xdp_md *ctx)
{
	char name[8] = { 'b', 'y', ' ', 'e', 'n', 't', 'r', 'y' };
	__u64 len = bpf_xdp_get_buff_len(ctx);

	if (len < 64 || bpf_xdp_store_bytes(ctx, len - sizeof(name), name, sizeof(name)))
		return XDP_DROP;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
