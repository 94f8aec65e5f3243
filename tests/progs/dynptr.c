// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * dynptr: handles of map values, of ring buffer records and of the packet.
 *
 * Maps: ARRAY, RINGBUF, .bss. Helpers: dynptr_from_mem, _read, _write, _data, ringbuf_reserve_dynptr, _submit_dynptr, _discard_dynptr; kernel functions:
 * bpf_dynptr_*.
 * Expect: results in `out`, bytes in `bytes`; XDP_PASS.
 */
#include "out.h"

extern int bpf_dynptr_from_xdp(struct xdp_md *x, __u64 flags, struct bpf_dynptr *ptr__uninit) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 buffer__szk) __ksym;
extern void *bpf_dynptr_slice_rdwr(const struct bpf_dynptr *ptr, __u32 offset, void *buffer, __u32 buffer__szk) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *ptr, __u32 start, __u32 end) __ksym;
/* Linux leaves what is above the first byte of r0 as it was. */
extern int bpf_dynptr_is_null(const struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_is_rdonly(const struct bpf_dynptr *ptr) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *ptr) __ksym;
extern int bpf_dynptr_clone(const struct bpf_dynptr *ptr, struct bpf_dynptr *clone__uninit) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, char[64]);
} values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

char bytes[256];

SEC("xdp")
int dynptr_memory(struct xdp_md *ctx)
{
	__u32 key = 1;
	char buf[16] = "0123456789abcde", got[16] = {};
	struct bpf_dynptr d, c, none;
	char *value, *slice;
	OUT_BEGIN;

	value = bpf_map_lookup_elem(&values, &key);
	if (!value)
		return XDP_DROP;
	OUT(bpf_dynptr_from_mem(value, 64, 0, &d));
	OUT(bpf_dynptr_size(&d));
	OUT(bpf_dynptr_is_null(&d) & 1);
	OUT(bpf_dynptr_is_rdonly(&d) & 1);
	OUT(bpf_dynptr_write(&d, 0, buf, sizeof(buf), 0));
	OUT(bpf_dynptr_write(&d, 48, buf, 16, 0));
	OUT(bpf_dynptr_write(&d, 49, buf, 16, 0));
	OUT(bpf_dynptr_write(&d, 0xffffffff, buf, 16, 0));
	OUT(bpf_dynptr_write(&d, 64, buf, 0, 0));
	OUT(bpf_dynptr_write(&d, 65, buf, 0, 0));
	OUT(bpf_dynptr_write(&d, 0, buf, 4, 1));
	OUT(bpf_dynptr_read(got, sizeof(got), &d, 4, 0));
	__builtin_memcpy(bytes, got, 16);
	OUT(bpf_dynptr_read(got, sizeof(got), &d, 49, 0));
	OUT(bpf_dynptr_read(got, sizeof(got), &d, 0, 1));
	OUT(bpf_dynptr_read(got, sizeof(got), &d, 0xfffffff8, 0));
	OUT(bpf_dynptr_clone(&d, &c));
	OUT(bpf_dynptr_adjust(&c, 8, 24));
	OUT(bpf_dynptr_size(&c));
	OUT(bpf_dynptr_size(&d));
	OUT(bpf_dynptr_read(got, sizeof(got), &c, 0, 0));
	__builtin_memcpy(bytes + 16, got, 16);
	OUT(bpf_dynptr_read(got, sizeof(got), &c, 1, 0));
	OUT(bpf_dynptr_adjust(&c, 4, 3));
	OUT(bpf_dynptr_adjust(&c, 17, 17));
	OUT(bpf_dynptr_adjust(&c, 0, 17));
	OUT(bpf_dynptr_adjust(&c, 16, 16));
	OUT(bpf_dynptr_size(&c));
	slice = bpf_dynptr_data(&d, 60, 4);
	OUT(slice != 0);
	if (slice)
		*(__u32 *)slice = 0x61616161;
	slice = bpf_dynptr_data(&d, 61, 4);
	OUT(slice != 0);
	slice = bpf_dynptr_slice(&d, 2, 0, 8);
	OUT(slice != 0);
	if (slice)
		OUT(slice[0]);
	slice = bpf_dynptr_slice_rdwr(&d, 32, got, 8);
	OUT(slice != 0);
	if (slice)
		slice[0] = 'w';
	slice = bpf_dynptr_slice(&d, 60, got, 8);
	OUT(slice != 0);
	OUT(bpf_dynptr_from_mem(value, 64, 1, &none));
	OUT(bpf_dynptr_is_null(&none) & 1);
	OUT(bpf_dynptr_is_rdonly(&none) & 1);
	OUT(bpf_dynptr_size(&none));
	OUT(bpf_dynptr_read(got, 1, &none, 0, 0));
	OUT(bpf_dynptr_write(&none, 0, got, 1, 0));
	OUT(bpf_dynptr_adjust(&none, 0, 0));
	OUT(bpf_dynptr_data(&none, 0, 1) != 0);
	OUT(bpf_dynptr_slice(&none, 0, got, 1) != 0);
	return XDP_PASS;
}

SEC("xdp")
int dynptr_clone_of_nothing(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct bpf_dynptr none, c;
	char *value = bpf_map_lookup_elem(&values, &key);
	OUT_BEGIN;

	if (!value)
		return XDP_DROP;
	OUT(bpf_dynptr_from_mem(value, 64, 7, &none));
	OUT(bpf_dynptr_clone(&none, &c));
	OUT(bpf_dynptr_is_null(&c) & 1);
	OUT(bpf_dynptr_from_mem(value, 0, 0, &none));
	OUT(bpf_dynptr_size(&none));
	return XDP_PASS;
}

SEC("xdp")
int dynptr_ring(struct xdp_md *ctx)
{
	char text[8] = "record", *slice;
	struct bpf_dynptr d;
	OUT_BEGIN;

	OUT(bpf_ringbuf_reserve_dynptr(&ring, 24, 0, &d));
	OUT(bpf_dynptr_write(&d, 0, text, sizeof(text), 0));
	OUT(bpf_dynptr_write(&d, 17, text, sizeof(text), 0));
	slice = bpf_dynptr_data(&d, 8, 16);
	if (slice)
		__builtin_memset(slice, 'x', 16);
	bpf_ringbuf_submit_dynptr(&d, 0);
	OUT(bpf_ringbuf_reserve_dynptr(&ring, 16, 0, &d));
	bpf_ringbuf_discard_dynptr(&d, 0);
	OUT(bpf_ringbuf_reserve_dynptr(&ring, 16, 1, &d));
	OUT(bpf_dynptr_write(&d, 0, text, 4, 0));
	bpf_ringbuf_submit_dynptr(&d, 0);
	OUT(bpf_ringbuf_reserve_dynptr(&ring, 5000, 0, &d));
	bpf_ringbuf_discard_dynptr(&d, 0);
	OUT(bpf_ringbuf_reserve_dynptr(&ring, 1 << 24, 0, &d));
	bpf_ringbuf_discard_dynptr(&d, 0);
	OUT(bpf_ringbuf_reserve_dynptr(&ring, 3, 0, &d));
	OUT(bpf_dynptr_write(&d, 0, text, 3, 0));
	OUT(bpf_dynptr_size(&d));
	bpf_ringbuf_submit_dynptr(&d, 0);
	return XDP_PASS;
}

/* The packet, whose first bytes may be followed by fragments. */
static __always_inline int packet(struct xdp_md *ctx)
{
	char got[32] = {}, *slice;
	struct bpf_dynptr d, c;
	__u32 size;
	OUT_BEGIN;

	OUT(bpf_dynptr_from_xdp(ctx, 1, &d));
	OUT(bpf_dynptr_is_null(&d) & 1);
	OUT(bpf_dynptr_from_xdp(ctx, 0, &d));
	size = bpf_dynptr_size(&d);
	OUT(size);
	OUT(bpf_dynptr_is_rdonly(&d) & 1);
	OUT(bpf_dynptr_read(got, sizeof(got), &d, size - 32, 0));
	__builtin_memcpy(bytes, got, 32);
	OUT(bpf_dynptr_read(got, sizeof(got), &d, size - 31, 0));
	OUT(bpf_dynptr_read(got, 16, &d, size / 2, 0));
	__builtin_memcpy(bytes + 32, got, 32);
	OUT(bpf_dynptr_write(&d, 20, got, 32, 0));
	OUT(bpf_dynptr_write(&d, size - 2, got, 2, 0));
	OUT(bpf_dynptr_write(&d, size - 1, got, 2, 0));
	OUT(bpf_dynptr_write(&d, 0, got, 2, 1));
	OUT(bpf_dynptr_data(&d, 0, 4) != 0);
	slice = bpf_dynptr_slice(&d, 14, 0, 20);
	OUT(slice != 0);
	if (slice)
		OUT(slice[3]);
	slice = bpf_dynptr_slice_rdwr(&d, 40, got, 16);
	OUT(slice != 0);
	if (slice)
		slice[1] = 'w';
	slice = bpf_dynptr_slice(&d, size - 8, 0, 16);
	OUT(slice != 0);
	/* Across the end of the first buffer where that has 3520 bytes. */
	slice = bpf_dynptr_slice(&d, 3512, 0, 16);
	OUT(slice != 0);
	slice = bpf_dynptr_slice(&d, 3512, got, 16);
	OUT(slice != 0);
	if (slice)
		__builtin_memcpy(bytes + 64, slice, 16);
	slice = bpf_dynptr_slice(&d, 3520, 0, 16);
	OUT(slice != 0);
	if (slice)
		__builtin_memcpy(bytes + 80, slice, 16);
	OUT(bpf_dynptr_write(&d, 3510, bytes, 32, 0));
	OUT(bpf_dynptr_read(bytes + 96, 64, &d, 3490, 0));
	OUT(bpf_dynptr_clone(&d, &c));
	OUT(bpf_dynptr_adjust(&c, 10, size - 10));
	OUT(bpf_dynptr_size(&c));
	OUT(bpf_dynptr_read(bytes + 160, 32, &c, 4, 0));
	/* A packet that became shorter than its handle. */
	OUT(bpf_xdp_adjust_tail(ctx, -20));
	OUT(bpf_dynptr_size(&d));
	OUT(bpf_dynptr_read(got, 16, &d, size - 16, 0));
	OUT(bpf_dynptr_read(got, 16, &d, size - 36, 0));
	__builtin_memset(got, 0, sizeof(got));
	slice = bpf_dynptr_slice(&d, size - 24, got, 16);
	OUT(slice != 0);
	if (slice)
		__builtin_memcpy(bytes + 192, slice, 16);
	return XDP_PASS;
}

SEC("xdp")
int dynptr_packet(struct xdp_md *ctx)
{
	return packet(ctx);
}

SEC("xdp.frags")
int dynptr_frags(struct xdp_md *ctx)
{
	return packet(ctx);
}
