// Programs that say how they run beside others: libxdp's XDP_RUN_CONFIG.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define XDP_RUN_CONFIG(f) _##f SEC(".xdp_run_config")

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} runs SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&runs, &which);

	if (n)
		*n += 1;
}

struct {
	__uint(priority, 5);
	__uint(XDP_PASS, 0);
	__uint(XDP_DROP, 1);
} XDP_RUN_CONFIG(first);

SEC("xdp")
int first(struct xdp_md *ctx)
{
	count(0);
	return ctx->data_end - ctx->data > 64 ? XDP_PASS : XDP_DROP;
}

struct {
	__uint(priority, 70);
	__uint(XDP_TX, 1);
} XDP_RUN_CONFIG(last);

SEC("xdp")
int last(struct xdp_md *ctx)
{
	count(2);
	return XDP_TX;
}

SEC("xdp")
int middle(struct xdp_md *ctx)
{
	count(1);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
