// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * maps: what map helpers return, and what is in maps then; sums over them.
 *
 * Maps: HASH, LRU_HASH, PERCPU_ARRAY, QUEUE, STACK, BLOOM_FILTER, RINGBUF, PERF_EVENT_ARRAY, .bss. Helpers: map_lookup_elem, _update_elem, _delete_elem,
 * _lookup_percpu_elem, _push_elem, _pop_elem, _peek_elem, ringbuf_output, _reserve, _submit, _discard, _query, perf_event_output, csum_diff.
 * Expect: results in `out`; XDP_PASS.
 */
#include "out.h"

#define MAP(kind, entries, value_type)                \
	struct {                                      \
		__uint(type, kind);                   \
		__uint(max_entries, entries);         \
		__type(key, __u32);                   \
		__type(value, value_type);            \
	}

MAP(BPF_MAP_TYPE_HASH, 2, __u64) hash SEC(".maps");
MAP(BPF_MAP_TYPE_LRU_HASH, 64, __u64) lru SEC(".maps");
MAP(BPF_MAP_TYPE_PERCPU_ARRAY, 2, __u64) percpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 2);
	__type(value, __u32);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 2);
	__type(value, __u32);
} stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 10);
	__type(value, __u32);
} filter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} samples SEC(".maps");

SEC("xdp")
int maps_values(struct xdp_md *ctx)
{
	__u32 a = 1, b = 2, c = 3;
	__u64 value = 7, *found;
	OUT_BEGIN;

	OUT(bpf_map_lookup_elem(&hash, &a) != 0);
	OUT(bpf_map_update_elem(&hash, &a, &value, BPF_EXIST));
	OUT(bpf_map_update_elem(&hash, &a, &value, BPF_NOEXIST));
	OUT(bpf_map_update_elem(&hash, &a, &value, BPF_NOEXIST));
	OUT(bpf_map_update_elem(&hash, &b, &value, BPF_ANY));
	OUT(bpf_map_update_elem(&hash, &c, &value, BPF_ANY));
	OUT(bpf_map_update_elem(&hash, &b, &value, 9));
	OUT(bpf_map_delete_elem(&hash, &c));
	OUT(bpf_map_delete_elem(&hash, &b));
	found = bpf_map_lookup_elem(&hash, &a);
	if (found)
		__sync_fetch_and_add(found, 35);
	OUT(bpf_map_update_elem(&lru, &a, &value, BPF_ANY));
	OUT(bpf_map_update_elem(&percpu, &a, &value, BPF_ANY));
	OUT(bpf_map_update_elem(&percpu, &c, &value, BPF_ANY));
	OUT(bpf_map_delete_elem(&percpu, &a));
	found = bpf_map_lookup_percpu_elem(&percpu, &a, bpf_get_smp_processor_id());
	OUT(found ? *found : -1);
	found = bpf_map_lookup_percpu_elem(&percpu, &a, 1);
	OUT(found ? *found : -1);
	OUT(bpf_map_lookup_percpu_elem(&percpu, &a, 100000) != 0);
	OUT(bpf_map_lookup_percpu_elem(&percpu, &c, 0) != 0);
	return XDP_PASS;
}

SEC("xdp")
int maps_queues(struct xdp_md *ctx)
{
	__u32 one = 1, two = 2, three = 3, got = 0;
	OUT_BEGIN;

	OUT(bpf_map_pop_elem(&queue, &got));
	OUT(bpf_map_push_elem(&queue, &one, 0));
	OUT(bpf_map_push_elem(&queue, &two, 0));
	OUT(bpf_map_push_elem(&queue, &three, 0));
	OUT(bpf_map_push_elem(&queue, &three, BPF_EXIST));
	OUT(bpf_map_push_elem(&queue, &three, BPF_NOEXIST));
	OUT(bpf_map_peek_elem(&queue, &got));
	OUT(got);
	OUT(bpf_map_pop_elem(&queue, &got));
	OUT(got);
	OUT(bpf_map_push_elem(&stack, &one, 0));
	OUT(bpf_map_push_elem(&stack, &two, 0));
	OUT(bpf_map_pop_elem(&stack, &got));
	OUT(got);
	OUT(bpf_map_push_elem(&filter, &one, 0));
	OUT(bpf_map_push_elem(&filter, &one, BPF_EXIST));
	OUT(bpf_map_peek_elem(&filter, &one));
	return XDP_PASS;
}

SEC("xdp")
int maps_ring(struct xdp_md *ctx)
{
	__u64 word = 0x1122334455667788, *record;
	OUT_BEGIN;

	OUT(bpf_ringbuf_output(&ring, &word, sizeof(word), 0));
	OUT(bpf_ringbuf_output(&ring, &word, 0, 0));
	OUT(bpf_ringbuf_output(&ring, &word, sizeof(word), 1 << 5));
	record = bpf_ringbuf_reserve(&ring, 16, 0);
	if (record) {
		record[0] = record[1] = word;
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	}
	record = bpf_ringbuf_reserve(&ring, 8, 0);
	OUT(record != 0);
	if (record)
		bpf_ringbuf_discard(record, 0);
	record = bpf_ringbuf_reserve(&ring, 8, 1);
	OUT(record != 0);
	if (record)
		bpf_ringbuf_discard(record, 0);
	record = bpf_ringbuf_reserve(&ring, 5000, 0);
	OUT(record != 0);
	if (record)
		bpf_ringbuf_discard(record, 0);
	OUT(bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA));
	OUT(bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE));
	OUT(bpf_ringbuf_query(&ring, BPF_RB_CONS_POS));
	OUT(bpf_ringbuf_query(&ring, BPF_RB_PROD_POS));
	OUT(bpf_ringbuf_query(&ring, 9));
	OUT(bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &word, sizeof(word)));
	OUT(bpf_perf_event_output(ctx, &samples, 1ull << 60, &word, sizeof(word)));
	OUT(bpf_perf_event_output(ctx, &samples, (100000ull << 32) | BPF_F_CURRENT_CPU, &word, sizeof(word)));
	OUT(bpf_perf_event_output(ctx, &samples, 7, &word, sizeof(word)));
	return XDP_PASS;
}

#define SUM(from, from_size, to, to_size, seed) OUT(bpf_csum_diff((void *)(from), from_size, (void *)(to), to_size, seed))

SEC("xdp")
int maps_sums(struct xdp_md *ctx)
{
	__be32 a[4] = { 0x12345678, 0xffff0001, 0xffffffff, 1 }, b[4] = { 0xdeadbeef, 0, 7, 0xffffffff }, z[4] = {};
	__be32 *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	OUT_BEGIN;

	SUM(a, 16, b, 16, 0);
	SUM(0, 0, b, 16, 5);
	SUM(a, 16, 0, 0, 5);
	SUM(0, 0, 0, 0, 0x12345678);
	SUM(0, 0, 0, 0, 0xfffffff0);
	SUM(0, 0, 0, 0, -1);
	SUM(z, 16, z, 16, 0);
	SUM(z, 16, z, 16, 0xffffffff);
	SUM(z, 16, 0, 0, 0);
	SUM(0, 0, z, 16, 0);
	SUM(0, 0, z, 16, 0xffff);
	SUM(a, 16, a, 16, 0);
	SUM(a, 4, b, 16, 0xffffffff);
	SUM(a, 16, b, 4, 0xabcdef01);
	SUM(a, 12, b, 8, 1u << 31);
	SUM(a + 2, 4, b + 3, 4, 1);
	if (data + 8 > data_end)
		return XDP_DROP;
	SUM(0, 0, data, 32, 0);
	SUM(data, 32, 0, 0, 0);
	SUM(data, 4, data + 1, 4, 0xffff);
	return XDP_PASS;
}
