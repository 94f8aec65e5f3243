// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * redirect: to an interface and through each kind of map, with every flag, known and unknown. The packet's first byte says which.
 *
 * Maps: DEVMAP, DEVMAP_HASH, CPUMAP, XSKMAP, .bss. Helpers: redirect, redirect_map, tail_call.
 * Expect: what the helper returned as the verdict, and in `out`.
 */
#include "out.h"

#define MAP(kind, entries)                            \
	struct {                                      \
		__uint(type, kind);                   \
		__uint(max_entries, entries);         \
		__uint(key_size, 4);                  \
		__uint(value_size, 8);                \
	}

MAP(BPF_MAP_TYPE_DEVMAP, 4) devices SEC(".maps");
MAP(BPF_MAP_TYPE_DEVMAP_HASH, 4) hashed SEC(".maps");
MAP(BPF_MAP_TYPE_CPUMAP, 2) cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} programs SEC(".maps");

SEC("xdp")
int redirect_plain(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	long r;

	if (data + 1 > data_end)
		return XDP_DROP;
	bpf_tail_call(ctx, &programs, 0);
	switch (data[0]) {
	case 0:
		r = bpf_redirect(1, 0);
		break;
	case 1:
		r = bpf_redirect(0, 0);
		break;
	case 2:
		r = bpf_redirect(9999, 0);
		break;
	case 3:
		r = bpf_redirect(1, 1);
		break;
	case 4:
		r = bpf_redirect(1, 1ull << 40);
		break;
	default:
		r = XDP_DROP;
	}
	out[data[0] & 63] = r;
	return r;
}

static __always_inline long through(void *map, __u32 at, __u8 how)
{
	switch (how) {
	case 0:
		return bpf_redirect_map(map, at, 0);
	case 1:
		return bpf_redirect_map(map, at, XDP_PASS);
	case 2:
		return bpf_redirect_map(map, 3, XDP_PASS);
	case 3:
		return bpf_redirect_map(map, 99, XDP_DROP);
	case 4:
		return bpf_redirect_map(map, 99, XDP_TX);
	case 5:
		return bpf_redirect_map(map, at, XDP_REDIRECT);
	case 6:
		return bpf_redirect_map(map, at, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS);
	case 7:
		return bpf_redirect_map(map, 99, BPF_F_BROADCAST | XDP_DROP);
	case 8:
		return bpf_redirect_map(map, 99, BPF_F_EXCLUDE_INGRESS | XDP_PASS);
	}
	return bpf_redirect_map(map, at, 1ull << 32);
}

SEC("xdp")
int redirect_maps(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u8 which;
	long r;

	if (data + 1 > data_end)
		return XDP_DROP;
	which = data[0];
	if (which < 10)
		r = through(&devices, 0, which);
	else if (which < 20)
		r = through(&hashed, 5, which - 10);
	else if (which < 30)
		r = through(&cpus, 1, which - 20);
	else
		r = through(&sockets, 0, which - 30);
	out[which & 63] = r;
	return r;
}
