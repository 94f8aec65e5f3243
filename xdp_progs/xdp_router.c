// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_router: an IPv4 router with rules, VLANs and statistics. Its parts are functions of their own (bpf-to-bpf calls).
 *
 * Maps: rules (HASH, 1024): protocol, VLAN and destination port -> drop or pass; no rule is pass.
 *       ways (LRU_HASH, 4096): destination and VLAN -> the way out. What the host's routes say is kept here.
 *       talkers (LRU_PERCPU_HASH, 4096): source address -> packets and bytes.
 *       ports (PERCPU_HASH, 64): ifindex of the port to leave by -> packets and bytes.
 *       outcomes (PERCPU_ARRAY, 8 x u64): packets by enum outcome.
 * Helpers: bpf_map_lookup_elem, bpf_map_update_elem, bpf_fib_lookup, bpf_redirect.
 * Expect: IPv4, untagged or with one tag (VLAN 0 where there is none). A way may ask for another VLAN: then the tag's
 * number is rewritten; a packet without a tag cannot get one here and is XDP_PASS.
 *  - A header cut short or malformed, or a rule that says so: XDP_DROP.
 *  - TTL 0 or 1, options, a fragment but the first to a VLAN with rules by port, not IPv4, no way: XDP_PASS, untouched.
 *  - A way: XDP_REDIRECT, TTL one less, checksum and MAC addresses as they have to be.
 */
#include "parse.h"

#define AF_INET 2
#define VLAN_ID 0x0fff
#define RULE_DROP 1

enum outcome { ROUTED, NOT_IPV4, MALFORMED, DROPPED_BY_RULE, FOR_HOST, NO_WAY, NO_TAG, OUTCOMES };

struct rule_key {
	__u16 vlan;
	__u16 port; /* in host order; 0: every port of the protocol */
	__u32 protocol;
};

struct way_key {
	__be32 dest;
	__u32 vlan;
};

struct way {
	__u32 ifindex;
	__u16 vlan;
	__u8 dest[ETH_ALEN];
	__u8 source[ETH_ALEN];
	__u16 unused;
};

struct count {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct rule_key);
	__type(value, __u32);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct way_key);
	__type(value, struct way);
} ways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, __be32);
	__type(value, struct count);
} talkers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct count);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

static __noinline int record(__u32 outcome)
{
	__u64 *packets = bpf_map_lookup_elem(&outcomes, &outcome);

	if (packets)
		*packets += 1;
	return outcome == MALFORMED || outcome == DROPPED_BY_RULE ? XDP_DROP : XDP_PASS;
}

static __noinline int count_talker(__be32 source, __u64 bytes)
{
	struct count first = { .packets = 1, .bytes = bytes };
	struct count *count = bpf_map_lookup_elem(&talkers, &source);

	if (!count)
		return bpf_map_update_elem(&talkers, &source, &first, BPF_ANY);
	count->packets += 1;
	count->bytes += bytes;
	return 0;
}

static __noinline int count_port(__u32 ifindex, __u64 bytes)
{
	struct count first = { .packets = 1, .bytes = bytes };
	struct count *count = bpf_map_lookup_elem(&ports, &ifindex);

	if (!count)
		return bpf_map_update_elem(&ports, &ifindex, &first, BPF_ANY);
	count->packets += 1;
	count->bytes += bytes;
	return 0;
}

/* Whether a rule drops it: one for the port, else one for the protocol in that VLAN. */
static __noinline int is_dropped(__u16 vlan, __u32 protocol, __u16 port)
{
	struct rule_key key = { .vlan = vlan, .port = port, .protocol = protocol };
	__u32 *rule = bpf_map_lookup_elem(&rules, &key);

	if (!rule && port) {
		key.port = 0;
		rule = bpf_map_lookup_elem(&rules, &key);
	}
	return rule && *rule == RULE_DROP;
}

/* Asks the host, and keeps what it says. Returns whether there is a way. */
static __noinline int ask_host(struct xdp_md *ctx, const struct way_key *key, __be32 source)
{
	struct bpf_fib_lookup fib = { .family = AF_INET };
	struct way way = {};

	if (!key)
		return 0;
	fib.ipv4_src = source;
	fib.ipv4_dst = key->dest;
	fib.ifindex = ctx->ingress_ifindex;
	if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	way.ifindex = fib.ifindex;
	way.vlan = key->vlan;
	__builtin_memcpy(way.dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(way.source, fib.smac, ETH_ALEN);
	bpf_map_update_elem(&ways, key, &way, BPF_ANY);
	return 1;
}

static __always_inline void age_ipv4(struct iphdr *ip)
{
	__u32 check = ip->check + bpf_htons(0x0100);

	ip->check = check + (check >= 0xffff);
	ip->ttl -= 1;
}

SEC("xdp")
int xdp_router(struct xdp_md *ctx)
{
	__u64 bytes = ctx->data_end - ctx->data;
	struct cursor c = cursor_of(ctx);
	struct vlan_tag *tag = NULL;
	struct way_key key = {};
	struct ports *l4;
	struct ethhdr *eth;
	struct iphdr *ip;
	__u16 port = 0, vlan = 0;
	struct way *way;
	__be16 proto;

	if (!take_eth(&c, &eth))
		return record(MALFORMED);
	proto = eth->h_proto;
	if (is_vlan(proto)) {
		if (!take_vlan(&c, &tag))
			return record(MALFORMED);
		proto = tag->next_proto;
		vlan = bpf_ntohs(tag->tci) & VLAN_ID;
	}
	if (proto != bpf_htons(ETH_P_IP))
		return record(NOT_IPV4);
	if (!take_ipv4(&c, &ip))
		return record(MALFORMED);
	count_talker(ip->saddr, bytes);
	if ((ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) &&
	    !(ip->frag_off & bpf_htons(IP_OFFSET))) {
		if (!take_ports(&c, &l4))
			return record(MALFORMED);
		port = bpf_ntohs(l4->dest);
	}
	if (is_dropped(vlan, ip->protocol, port))
		return record(DROPPED_BY_RULE);
	if (ip->ihl != 5 || ip->ttl <= 1)
		return record(FOR_HOST);

	key.dest = ip->daddr;
	key.vlan = vlan;
	way = bpf_map_lookup_elem(&ways, &key);
	if (!way && ask_host(ctx, &key, ip->saddr))
		way = bpf_map_lookup_elem(&ways, &key);
	if (!way)
		return record(NO_WAY);
	if (way->vlan != vlan) {
		if (!tag)
			return record(NO_TAG);
		tag->tci = (tag->tci & bpf_htons(~VLAN_ID & 0xffff)) | bpf_htons(way->vlan & VLAN_ID);
	}
	age_ipv4(ip);
	__builtin_memcpy(eth->h_dest, way->dest, ETH_ALEN);
	__builtin_memcpy(eth->h_source, way->source, ETH_ALEN);
	count_port(way->ifindex, bytes);
	record(ROUTED);
	return bpf_redirect(way->ifindex, 0);
}

char _license[] SEC("license") = "Dual MIT/GPL";
