// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * loop: what bpf_loop returns, counts and refuses, also from within another one.
 *
 * Maps: results (ARRAY), one number a case. Helpers: bpf_loop. Expect: XDP_PASS, or XDP_DROP for an empty packet; the packet's
 * first byte is the number of turns of case 4.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

static void note(__u32 at, __u64 number)
{
	__u64 *place = bpf_map_lookup_elem(&results, &at);

	if (place)
		*place += number;
}

struct state {
	__u64 sum;
	__u64 turns;
	__u64 stop_at;
};

static long add(__u64 i, void *data)
{
	struct state *s = data;

	s->turns++;
	s->sum += i * 3 + 1;
	return i == s->stop_at;
}

static long nothing(__u64 i, void *data)
{
	return 0;
}

static long inner(__u64 i, void *data)
{
	struct state *s = data;

	s->sum = s->sum * 31 + i;
	return s->sum % 7 == 0;
}

static long middle(__u64 i, void *data)
{
	struct state *outer = data;
	struct state mine = { .sum = outer->sum + i, .turns = 1 };

	outer->turns += bpf_loop(3 + i, inner, &mine, 0);
	outer->sum += mine.sum * mine.turns;
	return 0;
}

static long outer(__u64 i, void *data)
{
	struct state *s = data;

	s->stop_at += bpf_loop(5, middle, data, 0);
	return s->turns > 200;
}

static __noinline __u64 below(__u64 turns)
{
	struct state s = { .stop_at = 1000 };

	bpf_loop(turns, add, &s, 0);
	return s.sum;
}

/* Reads what only some turns wrote. */
static long sometimes(__u64 i, void *data)
{
	__u64 *slot = data;

	if (i & 1)
		*slot += i;
	return 0;
}

SEC("xdp")
int loop(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u8 *data_end = (void *)(long)ctx->data_end;
	struct state s = { .stop_at = 1000 };
	__u64 slot = 0;
	__u32 first;

	if (data + 1 > data_end)
		return XDP_DROP;
	first = data[0];
	note(0, bpf_loop(0, add, &s, 0));
	note(1, bpf_loop(1, add, &s, 0));
	note(2, bpf_loop(10, add, &s, 0));
	note(3, s.sum);
	note(4, bpf_loop(first, add, &s, 0));
	note(5, s.sum);
	s.stop_at = 5;
	note(6, bpf_loop(10, add, &s, 0));
	note(7, s.turns);
	s.stop_at = 0;
	note(8, bpf_loop(10, add, &s, 0));
	/* The kernel's inlined form leaves a 32-bit error: only that half is its word. */
	note(9, (__u32)bpf_loop(8 * 1024 * 1024 + 1, add, &s, 0));
	note(10, bpf_loop(first, add, &s, 1));
	note(22, bpf_loop(8 * 1024 * 1024 + 1, nothing, 0, first));
	note(23, bpf_loop(first, nothing, 0, first & 2));
	note(11, bpf_loop(100 + first, nothing, 0, 0));
	s.sum = s.turns = s.stop_at = 0;
	note(12, bpf_loop(20, outer, &s, 0));
	note(13, s.sum);
	note(14, s.turns);
	note(15, s.stop_at);
	note(16, below(first));
	note(17, bpf_loop(9, sometimes, &slot, 0));
	note(18, slot);
	return XDP_PASS;
}

SEC("xdp")
int longest(struct xdp_md *ctx)
{
	note(20, bpf_loop(8 * 1024 * 1024, nothing, 0, 0));
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
