// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/* Counts packets whose VLAN tag the device took off, keeps the last tag and its protocol in network order, and drops everything. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *vlan_proto, __u16 *vlan_tci) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} told SEC(".maps");

static __always_inline void tell(__u32 what, __u64 number, int add)
{
	__u64 *place = bpf_map_lookup_elem(&told, &what);

	if (place)
		*place = add ? *place + number : number;
}

SEC("xdp")
int tagged(struct xdp_md *ctx)
{
	__be16 proto = 0;
	__u16 tci = 0;

	if (bpf_xdp_metadata_rx_vlan_tag(ctx, &proto, &tci) == 0) {
		tell(0, 1, 1);
		tell(1, tci, 0);
		tell(2, proto, 0);
	}
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
