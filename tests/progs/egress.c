// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * egress: programs of entries: one for packets that leave by a device, one for those that a CPU takes over.
 *
 * Maps: DEVMAP, CPUMAP. Helpers: redirect_map, get_smp_processor_id.
 * Expect: `ingress` redirects to entry 0 of `devices`, `everywhere` to all of them but the ingress, `to_cpu` to CPU 1 and `to_own_cpu` to CPU 0; `egress` drops what
 * leaves by interface 3, `stamp` writes the interface into the packet's last byte of the destination address, `back` asks for what entries cannot do. `remote` passes,
 * `onward` writes its CPU into the last byte of the source address and redirects to entry 0 of `devices`.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 8);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 8);
} cpus SEC(".maps");

SEC("xdp")
int ingress(struct xdp_md *ctx)
{
	return bpf_redirect_map(&devices, 0, XDP_PASS);
}

SEC("xdp")
int everywhere(struct xdp_md *ctx)
{
	return bpf_redirect_map(&devices, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
}

SEC("xdp")
int to_cpu(struct xdp_md *ctx)
{
	return bpf_redirect_map(&cpus, 1, XDP_DROP);
}

SEC("xdp")
int to_own_cpu(struct xdp_md *ctx)
{
	return bpf_redirect_map(&cpus, 0, XDP_DROP);
}

/* Writes a byte of the Ethernet header; 0 where there is none. */
static __always_inline int write_at(struct xdp_md *ctx, int at, __u8 value)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 14 > end)
		return 0;
	data[at] = value;
	return 1;
}

SEC("xdp/devmap")
int stamp(struct xdp_md *ctx)
{
	return write_at(ctx, 5, ctx->egress_ifindex) ? XDP_PASS : XDP_DROP;
}

SEC("xdp/devmap")
int back(struct xdp_md *ctx)
{
	return XDP_TX;
}

SEC("xdp/devmap")
int egress(struct xdp_md *ctx)
{
	return ctx->egress_ifindex == 3 ? XDP_DROP : XDP_PASS;
}

SEC("xdp/cpumap")
int remote(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp/cpumap")
int onward(struct xdp_md *ctx)
{
	if (!write_at(ctx, 11, bpf_get_smp_processor_id()))
		return XDP_DROP;
	return bpf_redirect_map(&devices, 0, XDP_DROP);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
