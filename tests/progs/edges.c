// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * edges: what helpers of maps answer at the edges: values of other CPUs, empty queues, events that are there and that are not.
 *
 * Maps: PERCPU_HASH, LRU_PERCPU_HASH, QUEUE, STACK, BLOOM_FILTER, PERF_EVENT_ARRAY, .bss. Helpers: map_lookup_percpu_elem, _update_elem, _delete_elem,
 * _push_elem, _pop_elem, _peek_elem, perf_event_output.
 * Expect: results in `out`; XDP_PASS.
 */
#include "out.h"

#define HASHED(kind, entries)                         \
	struct {                                      \
		__uint(type, kind);                   \
		__uint(max_entries, entries);         \
		__type(key, __u32);                   \
		__type(value, __u64);                 \
	}

HASHED(BPF_MAP_TYPE_PERCPU_HASH, 2) hashed SEC(".maps");
HASHED(BPF_MAP_TYPE_LRU_PERCPU_HASH, 64) recent SEC(".maps");

#define LISTED(kind)                                  \
	struct {                                      \
		__uint(type, kind);                   \
		__uint(max_entries, 2);               \
		__type(value, __u32);                 \
	}

LISTED(BPF_MAP_TYPE_QUEUE) queue SEC(".maps");
LISTED(BPF_MAP_TYPE_STACK) stack SEC(".maps");
LISTED(BPF_MAP_TYPE_BLOOM_FILTER) filter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} samples SEC(".maps");

/* The value of a key on a CPU, to which something is added then. */
#define VALUE(map, key, cpu)                                                \
	do {                                                                \
		__u64 *v_ = bpf_map_lookup_percpu_elem(&map, &key, cpu);    \
		OUT(v_ ? *v_ : -1);                                         \
		if (v_)                                                     \
			*v_ += 35;                                          \
	} while (0)

#define PERCPU(map)                                                         \
	do {                                                                \
		VALUE(map, a, 0);                                           \
		OUT(bpf_map_update_elem(&map, &a, &value, BPF_EXIST));      \
		OUT(bpf_map_update_elem(&map, &a, &value, BPF_NOEXIST));    \
		OUT(bpf_map_update_elem(&map, &a, &value, BPF_NOEXIST));    \
		OUT(bpf_map_update_elem(&map, &a, &value, 9));              \
		VALUE(map, a, bpf_get_smp_processor_id());                  \
		VALUE(map, a, bpf_get_smp_processor_id());                  \
		VALUE(map, a, 1);                                           \
		VALUE(map, a, 1);                                           \
		VALUE(map, a, 100000);                                      \
		VALUE(map, a, 0xffffffff);                                  \
		VALUE(map, b, 0);                                           \
		OUT(bpf_map_update_elem(&map, &b, &value, BPF_ANY));        \
		VALUE(map, b, 1);                                           \
		OUT(bpf_map_delete_elem(&map, &b));                         \
		OUT(bpf_map_delete_elem(&map, &b));                         \
		VALUE(map, b, 1);                                           \
	} while (0)

SEC("xdp")
int edges_percpu(struct xdp_md *ctx)
{
	__u32 a = 1, b = 2;
	__u64 value = 7;
	OUT_BEGIN;

	PERCPU(hashed);
	PERCPU(recent);
	return XDP_PASS;
}

/* What is asked of an empty map, of one with an element, and of an empty one again; the answer's place holds 9 before. */
#define ASKED(helper, map)                            \
	do {                                          \
		got = 9;                              \
		OUT(helper(&map, &got));              \
		OUT(got);                             \
	} while (0)

#define LIST(map)                                     \
	do {                                          \
		ASKED(bpf_map_peek_elem, map);        \
		ASKED(bpf_map_pop_elem, map);         \
		OUT(bpf_map_push_elem(&map, &one, 9)); \
		OUT(bpf_map_push_elem(&map, &one, 0)); \
		ASKED(bpf_map_peek_elem, map);        \
		ASKED(bpf_map_peek_elem, map);        \
		ASKED(bpf_map_pop_elem, map);         \
		ASKED(bpf_map_peek_elem, map);        \
		ASKED(bpf_map_pop_elem, map);         \
	} while (0)

SEC("xdp")
int edges_queues(struct xdp_md *ctx)
{
	__u32 one = 1, got;
	OUT_BEGIN;

	LIST(queue);
	LIST(stack);
	ASKED(bpf_map_peek_elem, filter);
	OUT(bpf_map_push_elem(&filter, &one, 9));
	OUT(bpf_map_push_elem(&filter, &one, 0));
	OUT(bpf_map_peek_elem(&filter, &one));
	ASKED(bpf_map_peek_elem, filter);
	return XDP_PASS;
}

#define SAMPLE(flags, size) OUT(bpf_perf_event_output(ctx, &samples, flags, words, size))
#define PACKET(bytes) ((__u64)(bytes) << 32)

/* Sizes are such that nothing rounds them up: four bytes go before. */
SEC("xdp")
int edges_samples(struct xdp_md *ctx)
{
	__u32 words[5] = { 0x11111111, 0x22222222, 0x33333333, 0x44444444, 0x55555555 };
	OUT_BEGIN;

	SAMPLE(BPF_F_CURRENT_CPU, 4);
	SAMPLE(BPF_F_CURRENT_CPU, 20);
	SAMPLE(0, 12);
	SAMPLE(1, 12);
	SAMPLE(2, 12);
	SAMPLE(BPF_F_CURRENT_CPU | PACKET(64), 12);
	SAMPLE(BPF_F_CURRENT_CPU | PACKET(8), 20);
	SAMPLE(BPF_F_CURRENT_CPU | PACKET(65), 12);
	SAMPLE(BPF_F_CURRENT_CPU | PACKET(0xfffff), 12);
	SAMPLE(BPF_F_CURRENT_CPU | 1ull << 52, 12);
	SAMPLE(BPF_F_CURRENT_CPU, 12);
	return XDP_PASS;
}
