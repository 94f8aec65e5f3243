// What a host puts into a user ring buffer, seen by a program. The packet's first byte is how many samples are shown at most, the second one the flags of the drain.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

/* What the last drain said, samples, samples that are shorter than a number, and the sum of the others. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __s64);
} seen SEC(".maps");

struct state {
	__u64 shown, most, shorter, sum;
};

static long each(struct bpf_dynptr *sample, void *data)
{
	struct state *state = data;
	__u64 number;

	state->shown++;
	if (bpf_dynptr_read(&number, sizeof(number), sample, 0, 0))
		state->shorter++;
	else
		state->sum += number;
	return state->shown >= state->most;
}

static void note(__u32 which, __s64 value, int adds)
{
	__s64 *at = bpf_map_lookup_elem(&seen, &which);

	if (at)
		*at = adds ? *at + value : value;
}

SEC("xdp")
int user_ring(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data;
	struct state state = {};
	long drained;

	if (data + 2 > (unsigned char *)(long)ctx->data_end)
		return XDP_ABORTED;
	state.most = data[0];
	drained = bpf_user_ringbuf_drain(&samples, each, &state, data[1]);
	note(0, drained, 0);
	note(1, state.shown, 1);
	note(2, state.shorter, 1);
	note(3, state.sum, 1);
	return drained < 0 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
