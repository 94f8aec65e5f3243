// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * numbers: the open-coded iterator over numbers: ranges, empty ones, those that are refused, one in another.
 *
 * Maps: results (ARRAY), one number a case. Kernel functions: bpf_iter_num_new, _next, _destroy. Expect: XDP_PASS, or XDP_DROP for
 * an empty packet; the packet's first byte is the end of a range.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

static void note(__u32 at, __u64 number)
{
	__u64 *place = bpf_map_lookup_elem(&results, &at);

	if (place)
		*place += number;
}

/* What new returned, how many numbers came, their mixture, and what next says behind the end. */
static __noinline int range(__u32 at, int start, int end, int most)
{
	struct bpf_iter_num it;
	__u64 mix = 0, turns = 0;
	int made, *i;

	made = bpf_iter_num_new(&it, start, end);
	while ((i = bpf_iter_num_next(&it))) {
		mix = mix * 31 + *i;
		turns++;
		if (turns > most)
			break;
	}
	if (turns <= most && bpf_iter_num_next(&it))
		turns += 1000000;
	bpf_iter_num_destroy(&it);
	note(at, made);
	note(at + 1, turns);
	note(at + 2, mix);
	return 0;
}

SEC("xdp")
int numbers(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u8 *data_end = (void *)(long)ctx->data_end;
	struct bpf_iter_num outer, inner;
	__u64 pairs = 0;
	int first, *i, *j;

	if (data + 1 > data_end)
		return XDP_DROP;
	first = data[0];
	range(0, 0, first, 1000);
	range(3, first, 0, 1000);
	range(6, -first, first, 100);
	range(9, first, first + 8 * 1024 * 1024, 3);
	range(12, first, first + 8 * 1024 * 1024 + 1, 3);
	range(15, -2147483647 - 1, -2147483647 - 1 + first, 1000);
	range(18, 2147483647 - first, 2147483647, 1000);
	range(21, -2147483647 - 1, 2147483647, 3);
	range(24, 2147483647, -2147483647 - 1, 3);
	bpf_iter_num_new(&outer, 0, first);
	while ((i = bpf_iter_num_next(&outer))) {
		int from = *i;

		bpf_iter_num_new(&inner, from, first);
		while ((j = bpf_iter_num_next(&inner)))
			pairs += *j ^ from;
		bpf_iter_num_destroy(&inner);
	}
	bpf_iter_num_destroy(&outer);
	note(30, pairs);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
