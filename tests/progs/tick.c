// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/* Sends packets back with the number of times that a timer has expired in their bytes 16 to 23: the first packet starts it, it starts itself again. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CLOCK_MONOTONIC 1
#define TENTH_OF_A_MILLISECOND 100000

struct clock {
	struct bpf_timer timer;
	__u64 ticks;
	__u32 started;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct clock);
} clocks SEC(".maps");

static int expired(void *map, __u32 *key, struct clock *clock)
{
	clock->ticks++;
	bpf_timer_start(&clock->timer, TENTH_OF_A_MILLISECOND, 0);
	return 0;
}

SEC("xdp")
int tick(struct xdp_md *ctx)
{
	char *data = (char *)(long)ctx->data;
	__u32 first = 0;
	struct clock *clock = bpf_map_lookup_elem(&clocks, &first);

	if (!clock || data + 24 > (char *)(long)ctx->data_end)
		return XDP_DROP;
	if (!clock->started) {
		clock->started = 1;
		if (bpf_timer_init(&clock->timer, &clocks, CLOCK_MONOTONIC) ||
		    bpf_timer_set_callback(&clock->timer, expired) ||
		    bpf_timer_start(&clock->timer, TENTH_OF_A_MILLISECOND, 0))
			return XDP_ABORTED;
	}
	__builtin_memcpy(data + 16, &clock->ticks, sizeof(clock->ticks));
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
