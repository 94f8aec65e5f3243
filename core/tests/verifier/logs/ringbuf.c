// A record that is taken and given back, for its references in the log.
// clang -O2 -g -target bpf -fdebug-compilation-dir=. -c core/tests/verifier/logs/ringbuf.c -o core/tests/verifier/logs/ringbuf.o; llvm-strip -g
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} ring SEC(".maps");

SEC("xdp")
int reserve(struct xdp_md *ctx)
{
    __u32 *record = bpf_ringbuf_reserve(&ring, 16, 0);

    if (!record)
        return XDP_DROP;
    record[0] = ctx->rx_queue_index;
    if (ctx->ingress_ifindex > 3) {
        bpf_ringbuf_discard(record, 0);
        return XDP_DROP;
    }
    bpf_ringbuf_submit(record, 0);
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
