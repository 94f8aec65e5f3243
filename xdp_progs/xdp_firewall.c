// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_firewall: filter IPv4 by source prefix, and VRRP by who may speak it, behind up to two VLAN tags
 * (QinQ).
 *
 * Maps: rules (PERCPU_HASH): prefix length and network -> verdict, number and flags of the rule. Lengths 32,
 *       24, 16, 8 and 0 are looked at, longest first; the first rule found decides. Addresses stand as in the
 *       packet. The value is the same on every CPU; it is kept per CPU so that the lookup never shares a
 *       cache line.
 *       counters (PERCPU_ARRAY): by rule number, how many packets passed and were dropped, and their bytes.
 *       Numbers below FIRST_RULE are the program's own decisions, named in enum own_rule.
 * Helpers: bpf_map_lookup_elem.
 * Expect: XDP_PASS or XDP_DROP, no packet changes.
 *  - What is not IPv4 behind zero, one or two tags passes (NOT_IPV4).
 *  - A cut-short or malformed Ethernet, tag or IPv4 header is dropped (MALFORMED).
 *  - VRRP (protocol 112) passes only if its TTL is 255, it goes to 224.0.0.18 and the source's rule has
 *    ALLOW_VRRP; it is counted there. All other VRRP is dropped (VRRP_REFUSED), whatever the rule's verdict.
 *  - Other packets get the verdict of their source's rule, or pass when there is none (NO_RULE).
 *  - A rule number that is no index of `counters` makes the packet XDP_ABORTED: the rule file is wrong.
 */
#include "parse.h"

enum own_rule { NO_RULE, NOT_IPV4, MALFORMED, VRRP_REFUSED, FIRST_RULE = 16 };

#define MAX_RULES 1024
#define ALLOW_VRRP 1

#define IPPROTO_VRRP 112
#define VRRP_TTL 255
#define VRRP_GROUP 0xe0000012 /* 224.0.0.18 */

struct rule_key {
	__u32 prefix_len;
	__be32 network;
};

struct rule {
	__u32 verdict; /* XDP_DROP (1) or XDP_PASS (2) */
	__u32 number; /* index in counters, from FIRST_RULE */
	__u32 flags; /* ALLOW_VRRP */
};

struct counter {
	__u64 passed;
	__u64 dropped;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, MAX_RULES);
	__type(key, struct rule_key);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FIRST_RULE + MAX_RULES);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

/* Counts the packet under a rule number and returns the verdict. */
static __always_inline int decide(struct xdp_md *ctx, __u32 number, int verdict)
{
	struct counter *counter = bpf_map_lookup_elem(&counters, &number);

	if (!counter)
		return XDP_ABORTED;
	if (verdict == XDP_PASS)
		counter->passed += 1;
	else
		counter->dropped += 1;
	counter->bytes += ctx->data_end - ctx->data;
	return verdict;
}

static __always_inline struct rule *find(__be32 source, __u32 prefix_len)
{
	struct rule_key key = { .prefix_len = prefix_len };

	if (prefix_len > 0)
		key.network = source & bpf_htonl(~0U << (32 - prefix_len));
	return bpf_map_lookup_elem(&rules, &key);
}

static __always_inline struct rule *rule_of(__be32 source)
{
	struct rule *rule = find(source, 32);

	if (!rule)
		rule = find(source, 24);
	if (!rule)
		rule = find(source, 16);
	if (!rule)
		rule = find(source, 8);
	if (!rule)
		rule = find(source, 0);
	return rule;
}

SEC("xdp")
int xdp_firewall(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;
	struct rule *rule;
	struct iphdr *ip;
	__be16 proto;

	if (!take_eth(&c, &eth))
		return decide(ctx, MALFORMED, XDP_DROP);
	proto = skip_vlans(&c, eth->h_proto);
	if (is_vlan(proto) && c.pos + sizeof(struct vlan_tag) > c.end)
		return decide(ctx, MALFORMED, XDP_DROP);
	if (proto != bpf_htons(ETH_P_IP))
		return decide(ctx, NOT_IPV4, XDP_PASS);
	if (!take_ipv4(&c, &ip))
		return decide(ctx, MALFORMED, XDP_DROP);

	rule = rule_of(ip->saddr);
	if (ip->protocol == IPPROTO_VRRP) {
		if (rule && (rule->flags & ALLOW_VRRP) && ip->ttl == VRRP_TTL && ip->daddr == bpf_htonl(VRRP_GROUP))
			return decide(ctx, rule->number, XDP_PASS);
		return decide(ctx, VRRP_REFUSED, XDP_DROP);
	}
	if (!rule)
		return decide(ctx, NO_RULE, XDP_PASS);
	return decide(ctx, rule->number, rule->verdict == XDP_DROP ? XDP_DROP : XDP_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
