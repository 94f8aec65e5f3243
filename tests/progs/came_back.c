// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * came_back: a program that was reached by a tail call goes on where a tail call of a function of its own came back, and sets a timer's callback there.
 *
 * Maps: PROG_ARRAY with static values, ARRAY of timers, .bss. Helpers: tail_call, timer_init, _set_callback, _start, _cancel.
 * Expect: results in `out`: what came back, then those of the timer's helpers, in front of the tail call and behind it; XDP_TX.
 */
#include "out.h"

int second(struct xdp_md *ctx);
int third(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = {
	.values = { [0] = (void *)&second, [1] = (void *)&third },
};

struct value {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct value);
} timers SEC(".maps");

SEC("xdp")
int third(struct xdp_md *ctx)
{
	out[0]++;
	return 77;
}

static int expired(void *map, __u32 *key, struct value *v)
{
	return 0;
}

static __noinline int goes(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 1);
	out[1]++;
	return out[1];
}

static __noinline int times(__u32 key, long *results)
{
	struct value *v = bpf_map_lookup_elem(&timers, &key);

	if (!v)
		return 0;
	results[0] = bpf_timer_init(&v->timer, &timers, 1);
	results[1] = bpf_timer_set_callback(&v->timer, expired);
	results[2] = bpf_timer_start(&v->timer, 1ull << 40, 0);
	results[3] = bpf_timer_cancel(&v->timer);
	return 0;
}

SEC("xdp")
int second(struct xdp_md *ctx)
{
	times(0, out + 8);
	out[2] = goes(ctx);
	times(1, out + 16);
	return XDP_TX;
}

SEC("xdp")
int first(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 0);
	return XDP_DROP;
}
