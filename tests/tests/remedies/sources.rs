//! Programs that are refused, each with the line before which the check belongs.

/// What stands before each.
pub(crate) const PRELUDE: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct value { __u8 bytes[48]; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, struct value); } values SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, __u32); __type(value, struct value); } found SEC(".maps");
char _license[] SEC("license") = "GPL";
/* A number that the compiler knows nothing of. */
#define OPAQUE(x) asm volatile("" : "+r"(x))
"#;

/// Name, the words of the refusal, and the program, with `HERE` where the check goes.
pub(crate) const REFUSED: &[(&str, &str, &str)] = &[
    (
        "packet_fixed",
        "invalid access to packet",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
    HERE
    return ((volatile __u8 *)data)[23] & 3;
}"#,
    ),
    (
        "packet_fixed_wide",
        "invalid access to packet",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
    if (data + 14 > data_end)
        return XDP_DROP;
    HERE
    return *(volatile __u32 *)(data + 12) & 3;
}"#,
    ),
    (
        "packet_variable",
        "invalid access to packet",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
    if (data + 34 > data_end)
        return XDP_DROP;
    __u64 i = (*(volatile __u8 *)(data + 14) & 15) * 4;
    void *p = data + i;
    HERE
    return *(volatile __u16 *)(p + 14) & 3;
}"#,
    ),
    (
        "packet_variable_without_a_bound",
        "invalid access to packet",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
    if (data + 34 > data_end)
        return XDP_DROP;
    __u64 i = *(volatile __u16 *)(data + 16);
    OPAQUE(i);
    void *p = data + i;
    HERE
    return *(volatile __u16 *)p & 3;
}"#,
    ),
    (
        "packet_after_it_moved",
        "invalid mem access 'scalar'",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
    if (data + 34 > data_end)
        return XDP_DROP;
    bpf_xdp_adjust_tail(ctx, -4);
    HERE
    if (data + 34 > data_end)
        return XDP_DROP;
    return *(volatile __u16 *)(data + 12) & 3;
}"#,
    ),
    (
        "null",
        "invalid mem access 'map_value_or_null'",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    __u32 key = 7;
    struct value *p = bpf_map_lookup_elem(&found, &key);
    HERE
    return *(volatile __u8 *)&p->bytes[5] & 3;
}"#,
    ),
    (
        "index_to_a_power_of_two",
        "R",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    __u32 key = 1;
    struct value *v = bpf_map_lookup_elem(&values, &key);
    if (!v)
        return XDP_PASS;
    __u64 i = bpf_get_prandom_u32();
    HERE
    return ((volatile __u8 *)v)[i + 16] & 3;
}"#,
    ),
    (
        "index_to_another_bound",
        "R",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    __u32 key = 1;
    struct value *v = bpf_map_lookup_elem(&values, &key);
    if (!v)
        return XDP_PASS;
    __u64 i = bpf_get_prandom_u32();
    HERE
    return ((volatile __u8 *)v)[i] & 3;
}"#,
    ),
    (
        "index_that_may_be_negative",
        "unbounded min value",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    __u32 key = 1;
    struct value *v = bpf_map_lookup_elem(&values, &key);
    if (!v)
        return XDP_PASS;
    __u64 i = bpf_ktime_get_ns();
    HERE
    return ((volatile __u8 *)v)[i] & 3;
}"#,
    ),
    (
        "size_of_a_helpers_memory",
        "R",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    char buf[32] = {};
    __u32 size = bpf_get_prandom_u32();
    HERE
    bpf_xdp_load_bytes(ctx, 0, buf, size);
    return buf[0] & 3;
}"#,
    ),
    (
        "size_that_may_be_nothing",
        "R",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    char buf[32] = {};
    __u32 size = bpf_get_prandom_u32() & 31;
    HERE
    bpf_xdp_load_bytes(ctx, 0, buf, size);
    return buf[0] & 3;
}"#,
    ),
    (
        "index_of_the_stack",
        "R",
        r#"
SEC("xdp") int prog(struct xdp_md *ctx) {
    __u8 buf[32] = {};
    OPAQUE(ctx);
    __u64 i = bpf_get_prandom_u32();
    HERE
    return ((volatile __u8 *)buf)[i] & 3;
}"#,
    ),
];
