// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_l4lb: a layer 4 load balancer in the manner of Maglev and katran. Packets to a virtual address (VIP) go on to one of
 * its servers (reals) through an IP-in-IP tunnel; the server answers the client directly. Connections stay where they are
 * when servers come and go, on this balancer by its connection table, on all of them by the same consistent-hash ring.
 *
 * Maps: vips (HASH, 512): address, port and protocol -> flags and the VIP's number. Port 0 is every port of the address.
 *       rings (ARRAY, 512 x 65537 = 33554944 x u32): each VIP's ring, the numbers of its reals (0: none).
 *       reals (ARRAY, 4096): address and family of each; number 0 is none.
 *       connections (ARRAY_OF_MAPS, 64): by CPU, an LRU_HASH from flow to real; the first 4 are in this object, a control
 *       plane adds what it has. connections_elsewhere (LRU_HASH, 65536) serves a CPU without one.
 *       quic_ids (ARRAY, 65536 x u32): by the server id in a QUIC connection id, the real.
 *       settings (ARRAY, 1): the next hop's MAC address and the outer IPv4 and IPv6 prefixes of our own.
 *       source_routes_v4, source_routes_v6 (LPM_TRIE, 4096): a client's prefix -> a real that serves it, for VIPs that say so.
 *       vip_stats (PERCPU_ARRAY, 512): packets and bytes by VIP. real_stats (PERCPU_ARRAY, 4096): the same by real.
 *       counts (PERCPU_ARRAY, 24 x u64): by enum what.
 *       new_connections (PERCPU_ARRAY, 1): how many this second, so that a flood does not empty the connection table.
 * Helpers: bpf_map_lookup_elem, bpf_map_update_elem, bpf_xdp_adjust_head, bpf_ktime_get_ns, bpf_get_smp_processor_id.
 * Expect: untagged TCP and UDP to a VIP is XDP_TX behind a new IPv4 or IPv6 header (IPIP, IP6IP6, IPv4 in IPv6), with the
 * next hop's MAC address. Where it goes, in this order: a QUIC connection id that names a real; a client's prefix; the
 * connection table (not for a SYN, nor an old UDP entry); the ring, by the hash of the flow.
 *  - ICMP and ICMPv6 errors that quote a packet from a VIP to a client ("too big" and "unreachable") go to that flow's real.
 *  - An echo request to an address with a VIP of protocol ICMP or ICMPv6 is answered: XDP_TX without a tunnel.
 *  - Fragments, IPv4 options and headers cut short are XDP_DROP. A VIP without a real is XDP_DROP. What is for no VIP is
 *    XDP_PASS, untouched.
 */
#include "parse.h"

#define MAX_VIPS 512
#define MAX_REALS 4096
#define RING_SIZE 65537
#define MAX_CPUS 64
#define CONNECTIONS 65536
#define QUIC_IDS 65536
#define SECOND 1000000000ULL
#define UDP_CONNECTION_AGE (30 * SECOND)
#define MAX_NEW_CONNECTIONS 125000 /* a second and CPU, beyond which none is remembered */
#define OUTER_TTL 64

/* Flags of a VIP. */
#define VIP_NO_SOURCE_PORT 1 /* all of a client's connections go to one real */
#define VIP_NO_CONNECTIONS 2 /* by the ring alone */
#define VIP_QUIC 4
#define VIP_BY_PORT 8 /* by the destination port alone */
#define VIP_SOURCE_ROUTES 16
#define VIP_LOCAL 32 /* TCP resets to servers that are gone are not balanced */

enum what {
	TO_NO_VIP,
	NO_REAL,
	TABLE_HIT,
	TABLE_MISS,
	TABLE_ELSEWHERE,
	TABLE_OLD,
	RING,
	FLOOD,
	QUIC_INITIAL,
	QUIC_BY_ID,
	QUIC_UNKNOWN_ID,
	BY_SOURCE,
	ICMP_TOO_BIG,
	ICMP_UNREACHABLE,
	ICMP_ECHOED,
	ICMP_OTHER,
	FRAGMENT,
	CUT_SHORT,
	NO_ROOM,
	OUT_V4,
	OUT_V6,
	OUT_V4_IN_V6,
	RESETS,
	WHATS = 24
};

struct address {
	__be32 word[4]; /* IPv4 in the first, zeros behind */
};

struct vip_key {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 family;
};

struct vip {
	__u32 flags;
	__u32 number;
};

struct real {
	struct address address;
	__u32 family;
};

struct flow {
	struct address source;
	struct address dest;
	__be16 source_port;
	__be16 dest_port;
	__u8 protocol;
	__u8 family;
	__u16 unused;
};

struct connection {
	__u32 real;
	__u32 unused;
	__u64 last_seen;
};

struct settings {
	__u8 next_hop[ETH_ALEN];
	__u16 unused;
	__be32 v4_prefix; /* the upper half is ours, the lower is the flow's */
	__be32 v6_prefix[4]; /* the last word is the flow's */
};

struct stats {
	__u64 packets;
	__u64 bytes;
};

struct rate {
	__u64 since;
	__u64 connections;
};

struct v4_prefix {
	__u32 len;
	__be32 address;
};

struct v6_prefix {
	__u32 len;
	struct address address;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VIPS);
	__type(key, struct vip_key);
	__type(value, struct vip);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_VIPS * RING_SIZE);
	__type(key, __u32);
	__type(value, __u32);
} rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_REALS);
	__type(key, __u32);
	__type(value, struct real);
} reals SEC(".maps");

struct connection_table {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS);
	__type(key, struct flow);
	__type(value, struct connection);
};

struct connection_table connections_0 SEC(".maps");
struct connection_table connections_1 SEC(".maps");
struct connection_table connections_2 SEC(".maps");
struct connection_table connections_3 SEC(".maps");
struct connection_table connections_elsewhere SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MAX_CPUS);
	__type(key, __u32);
	__array(values, struct connection_table);
} connections SEC(".maps") = {
	.values = { &connections_0, &connections_1, &connections_2, &connections_3 },
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, QUIC_IDS);
	__type(key, __u32);
	__type(value, __u32);
} quic_ids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct v4_prefix);
	__type(value, __u32);
} source_routes_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct v6_prefix);
	__type(value, __u32);
} source_routes_v6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_VIPS);
	__type(key, __u32);
	__type(value, struct stats);
} vip_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_REALS);
	__type(key, __u32);
	__type(value, struct stats);
} real_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WHATS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rate);
} new_connections SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *packets = bpf_map_lookup_elem(&counts, &what);

	if (packets)
		*packets += 1;
}

static __always_inline void add_stats(void *map, __u32 at, __u64 bytes)
{
	struct stats *stats = bpf_map_lookup_elem(map, &at);

	if (stats) {
		stats->packets += 1;
		stats->bytes += bytes;
	}
}

static __always_inline int finish(__u32 what, int action)
{
	count(what);
	return action;
}

/*
 * ICMP
 */
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_ECHOREPLY 0
#define ICMP_FRAG_NEEDED 4
#define ICMP6_DEST_UNREACH 1
#define ICMP6_TOO_BIG 2
#define ICMP6_ECHO 128
#define ICMP6_ECHOREPLY 129

struct icmp {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 rest;
};

TAKE(take_icmp, struct icmp)

/*
 * QUIC: what of its headers says where a packet goes. Long headers begin with 1, a version and the destination connection
 * id with its length; short ones with 0 and the id. An id of ours has the layout's version in its upper two bits: in the
 * first, 16 bits behind them are the server's; in the second, the last 16 of the next three bytes.
 */
#define QUIC_LONG 0x80
#define QUIC_TYPE 0x30
#define QUIC_INITIAL_TYPE 0x00
#define QUIC_0RTT_TYPE 0x10
#define QUIC_MIN_ID 8
#define QUIC_NO_ID 0

struct quic_long {
	__u8 flags;
	__u8 version[4];
	__u8 id_len;
	__u8 id[QUIC_MIN_ID];
};

struct quic_short {
	__u8 flags;
	__u8 id[QUIC_MIN_ID];
};

enum quic { NOT_QUIC, QUIC_HASHED, QUIC_HAS_ID };

static __always_inline __u32 server_of_id(const __u8 *id)
{
	switch (id[0] >> 6) {
	case 1:
		return (id[0] & 0x3f) << 10 | id[1] << 2 | id[2] >> 6;
	case 2:
		return id[2] << 8 | id[3];
	default:
		return QUIC_NO_ID;
	}
}

static __always_inline enum quic read_quic(const struct cursor *c, __u32 *server)
{
	const struct quic_short *brief = c->pos;
	const struct quic_long *full = c->pos;

	if (c->pos + 1 > c->end)
		return NOT_QUIC;
	if (brief->flags & QUIC_LONG) {
		if ((void *)(full + 1) > c->end)
			return NOT_QUIC;
		/* The client chose the id of its first packets. */
		if ((full->flags & QUIC_TYPE) == QUIC_INITIAL_TYPE || (full->flags & QUIC_TYPE) == QUIC_0RTT_TYPE)
			return QUIC_HASHED;
		if (full->id_len < QUIC_MIN_ID)
			return NOT_QUIC;
		*server = server_of_id(full->id);
		return QUIC_HAS_ID;
	}
	if ((void *)(brief + 1) > c->end)
		return NOT_QUIC;
	*server = server_of_id(brief->id);
	return QUIC_HAS_ID;
}

/* The real that the connection id names, or 0. */
static __always_inline __u32 real_of_quic(const struct cursor *c)
{
	__u32 server = QUIC_NO_ID;
	__u32 *real;

	switch (read_quic(c, &server)) {
	case QUIC_HASHED:
		count(QUIC_INITIAL);
		return 0;
	case QUIC_HAS_ID:
		break;
	default:
		return 0;
	}
	real = server == QUIC_NO_ID ? NULL : bpf_map_lookup_elem(&quic_ids, &server);
	if (!real || !*real) {
		count(QUIC_UNKNOWN_ID);
		return 0;
	}
	count(QUIC_BY_ID);
	return *real;
}

/*
 * Choosing a real
 */
static __always_inline __u32 hash_of(const struct flow *flow, __u32 flags)
{
	__u32 ports = flow->source_port | (__u32)flow->dest_port << 16;
	__u32 hash;

	if (flags & VIP_BY_PORT)
		return hash3(flow->dest_port, flow->protocol, 0);
	if (flags & VIP_NO_SOURCE_PORT)
		ports = (__u32)flow->dest_port << 16;
	hash = hash3(flow->source.word[0], ports, flow->protocol);
	if (flow->family == 6) {
		hash = hash3(hash, flow->source.word[1], flow->source.word[2]);
		hash = hash3(hash, flow->source.word[3], flow->dest.word[0]);
		hash = hash3(hash, flow->dest.word[1], flow->dest.word[2]);
		return hash3(hash, flow->dest.word[3], 0);
	}
	return hash3(hash, flow->dest.word[0], 0);
}

/* The real of a flow by the VIP's ring, or 0. */
static __always_inline __u32 real_of_ring(const struct vip *vip, __u32 hash)
{
	__u32 at = vip->number * RING_SIZE + hash % RING_SIZE;
	__u32 *real = bpf_map_lookup_elem(&rings, &at);

	count(RING);
	return real ? *real : 0;
}

/* This CPU's connection table. */
static __always_inline void *table_of_cpu(void)
{
	__u32 cpu = bpf_get_smp_processor_id();
	void *table = bpf_map_lookup_elem(&connections, &cpu);

	if (table)
		return table;
	count(TABLE_ELSEWHERE);
	return &connections_elsewhere;
}

/* Whether there are too many new connections this second for remembering one more. */
static __always_inline int is_flood(__u64 now)
{
	__u32 zero = 0;
	struct rate *rate = bpf_map_lookup_elem(&new_connections, &zero);

	if (!rate)
		return 1;
	if (now - rate->since > SECOND) {
		rate->since = now;
		rate->connections = 1;
		return 0;
	}
	rate->connections += 1;
	return rate->connections > MAX_NEW_CONNECTIONS;
}

static __always_inline __u32 real_of_source(const struct flow *flow)
{
	struct v4_prefix v4 = { .len = 32, .address = flow->source.word[0] };
	struct v6_prefix v6 = { .len = 128, .address = flow->source };
	__u32 *real;

	if (flow->family == 4)
		real = bpf_map_lookup_elem(&source_routes_v4, &v4);
	else
		real = bpf_map_lookup_elem(&source_routes_v6, &v6);
	if (!real || !*real)
		return 0;
	count(BY_SOURCE);
	return *real;
}

/* The real of a connection that is known, or 0. */
static __always_inline __u32 real_of_table(void *table, const struct flow *flow, __u64 now)
{
	struct connection *known = bpf_map_lookup_elem(table, flow);

	if (!known) {
		count(TABLE_MISS);
		return 0;
	}
	if (flow->protocol == IPPROTO_UDP) {
		if (now - known->last_seen > UDP_CONNECTION_AGE) {
			count(TABLE_OLD);
			return 0;
		}
		known->last_seen = now;
	}
	count(TABLE_HIT);
	return known->real;
}

/* The real of a flow that nothing else decided: the table's, else the ring's, which the table then remembers. */
static __always_inline __u32 real_of_flow(const struct flow *flow, const struct vip *vip, __u32 hash, int opens)
{
	struct connection fresh = {};
	__u64 now = bpf_ktime_get_ns();
	void *table;
	__u32 real;

	if (vip->flags & VIP_NO_CONNECTIONS)
		return real_of_ring(vip, hash);
	table = table_of_cpu();
	if (!opens) {
		real = real_of_table(table, flow, now);
		if (real)
			return real;
	}
	real = real_of_ring(vip, hash);
	if (!real)
		return 0;
	if (is_flood(now)) {
		count(FLOOD);
		return real;
	}
	fresh.real = real;
	if (flow->protocol == IPPROTO_UDP)
		fresh.last_seen = now;
	bpf_map_update_elem(table, flow, &fresh, BPF_ANY);
	return real;
}

/*
 * The tunnel
 */

/* Moves the Ethernet header to the front. Returns where the new header goes, or NULL. */
static __always_inline void *make_room(struct xdp_md *ctx, int grown, const struct settings *set, __be16 proto)
{
	struct ethhdr *eth, *old;
	struct cursor c;

	if (bpf_xdp_adjust_head(ctx, -grown))
		return NULL;
	c = cursor_of(ctx);
	if (c.pos + grown + sizeof(*eth) > c.end)
		return NULL;
	eth = c.pos;
	old = c.pos + grown;
	__builtin_memcpy(eth->h_source, old->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, set->next_hop, ETH_ALEN);
	eth->h_proto = proto;
	return eth + 1;
}

static __always_inline int out_v4(struct xdp_md *ctx, const struct real *real, const struct settings *set, __u32 hash,
				  __u16 inner_len, __u8 tos)
{
	struct iphdr *outer = make_room(ctx, sizeof(*outer), set, bpf_htons(ETH_P_IP));

	if (!outer)
		return finish(NO_ROOM, XDP_DROP);
	outer->version = 4;
	outer->ihl = sizeof(*outer) / 4;
	outer->tos = tos;
	outer->tot_len = bpf_htons(inner_len + sizeof(*outer));
	outer->id = 0;
	outer->frag_off = 0;
	outer->ttl = OUTER_TTL;
	outer->protocol = IPPROTO_IPIP;
	/* The flow's part of the source spreads the receivers' queues. */
	outer->saddr = set->v4_prefix | bpf_htonl((hash ^ hash >> 16) & 0xffff);
	outer->daddr = real->address.word[0];
	outer->check = ipv4_csum(outer);
	return finish(OUT_V4, XDP_TX);
}

static __always_inline int out_v6(struct xdp_md *ctx, const struct real *real, const struct settings *set, __u32 hash,
				  __u16 inner_len, __u8 traffic_class, __u8 inner)
{
	struct ipv6hdr *outer = make_room(ctx, sizeof(*outer), set, bpf_htons(ETH_P_IPV6));
	__be32 first_word;

	if (!outer)
		return finish(NO_ROOM, XDP_DROP);
	first_word = bpf_htonl(6U << 28 | (__u32)traffic_class << 20);
	__builtin_memcpy(outer, &first_word, sizeof(first_word));
	outer->payload_len = bpf_htons(inner_len);
	outer->nexthdr = inner;
	outer->hop_limit = OUTER_TTL;
	outer->saddr.in6_u.u6_addr32[0] = set->v6_prefix[0];
	outer->saddr.in6_u.u6_addr32[1] = set->v6_prefix[1];
	outer->saddr.in6_u.u6_addr32[2] = set->v6_prefix[2];
	outer->saddr.in6_u.u6_addr32[3] = set->v6_prefix[3] | bpf_htonl(hash);
	__builtin_memcpy(&outer->daddr, &real->address, sizeof(outer->daddr));
	return finish(inner == IPPROTO_IPV6 ? OUT_V6 : OUT_V4_IN_V6, XDP_TX);
}

/* What is known of a packet when its headers were read. */
struct seen {
	struct flow flow;
	__u16 len; /* of the IP packet */
	__u8 tos;
	__u8 opens; /* TCP's SYN */
	__u8 resets;
	__u8 quoted; /* the flow is that of a quoted packet, the other way round */
};

/* From the flow to its VIP, its real, and out. */
static __always_inline int balance(struct xdp_md *ctx, struct seen *seen, const struct cursor *payload)
{
	struct flow *flow = &seen->flow;
	struct vip_key key = { .address = flow->dest, .port = flow->dest_port };
	__u32 zero = 0, number = 0, hash, flags;
	struct settings *set;
	struct real *real;
	struct vip *vip;

	key.protocol = flow->protocol;
	key.family = flow->family;
	vip = bpf_map_lookup_elem(&vips, &key);
	if (!vip) {
		key.port = 0;
		vip = bpf_map_lookup_elem(&vips, &key);
		if (!vip)
			return finish(TO_NO_VIP, XDP_PASS);
		/* Whatever port it is: a client's connections to all of them meet one real. */
		if (!(vip->flags & VIP_QUIC))
			flow->dest_port = 0;
	}
	set = bpf_map_lookup_elem(&settings, &zero);
	if (!set || vip->number >= MAX_VIPS)
		return finish(NO_REAL, XDP_DROP);
	flags = vip->flags;
	if (seen->resets && (flags & VIP_LOCAL))
		return finish(RESETS, XDP_DROP);
	hash = hash_of(flow, flags);

	if ((flags & VIP_QUIC) && flow->protocol == IPPROTO_UDP && !seen->quoted)
		number = real_of_quic(payload);
	if (!number && (flags & VIP_SOURCE_ROUTES))
		number = real_of_source(flow);
	if (!number)
		number = real_of_flow(flow, vip, hash, seen->opens);
	real = number ? bpf_map_lookup_elem(&reals, &number) : NULL;
	if (!real || !real->family)
		return finish(NO_REAL, XDP_DROP);

	add_stats(&vip_stats, vip->number, seen->len);
	add_stats(&real_stats, number, seen->len);
	if (flow->family == 6) {
		if (real->family != 6)
			return finish(NO_REAL, XDP_DROP);
		return out_v6(ctx, real, set, hash, seen->len, seen->tos, IPPROTO_IPV6);
	}
	if (real->family == 6)
		return out_v6(ctx, real, set, hash, seen->len, seen->tos, IPPROTO_IPIP);
	return out_v4(ctx, real, set, hash, seen->len, seen->tos);
}

/*
 * Reading headers. Each returns an action, or GO_ON.
 */
#define GO_ON -1

static __always_inline int read_transport(struct cursor *c, struct seen *seen)
{
	struct tcphdr *tcp;
	struct udphdr *udp;

	if (seen->flow.protocol == IPPROTO_TCP) {
		tcp = c->pos;
		if ((void *)(tcp + 1) > c->end)
			return finish(CUT_SHORT, XDP_DROP);
		seen->flow.source_port = tcp->source;
		seen->flow.dest_port = tcp->dest;
		seen->opens = tcp->syn && !tcp->ack;
		seen->resets = tcp->rst;
		return GO_ON;
	}
	if (seen->flow.protocol == IPPROTO_UDP) {
		if (!take_udp(c, &udp))
			return finish(CUT_SHORT, XDP_DROP);
		seen->flow.source_port = udp->source;
		seen->flow.dest_port = udp->dest;
		return GO_ON;
	}
	return finish(TO_NO_VIP, XDP_PASS);
}

/* The quoted packet went from the VIP to the client: the flow is the other way round. */
static __always_inline int read_quoted_ports(struct cursor *c, struct seen *seen, __u8 protocol)
{
	struct ports *ports;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return finish(ICMP_OTHER, XDP_PASS);
	if (!take_ports(c, &ports))
		return finish(CUT_SHORT, XDP_DROP);
	seen->flow.protocol = protocol;
	seen->flow.source_port = ports->dest;
	seen->flow.dest_port = ports->source;
	seen->quoted = 1;
	return GO_ON;
}

static __always_inline int read_quoted_ipv4(struct cursor *c, struct seen *seen)
{
	struct iphdr *ip;

	if (!take_ipv4(c, &ip))
		return finish(CUT_SHORT, XDP_DROP);
	if (ip->ihl != 5 || (ip->frag_off & bpf_htons(IP_OFFSET)))
		return finish(FRAGMENT, XDP_DROP);
	seen->flow.source.word[0] = ip->daddr;
	seen->flow.dest.word[0] = ip->saddr;
	return read_quoted_ports(c, seen, ip->protocol);
}

static __always_inline int read_quoted_ipv6(struct cursor *c, struct seen *seen)
{
	struct ipv6hdr *ip;

	if (!take_ipv6(c, &ip))
		return finish(CUT_SHORT, XDP_DROP);
	__builtin_memcpy(&seen->flow.source, &ip->daddr, sizeof(seen->flow.source));
	__builtin_memcpy(&seen->flow.dest, &ip->saddr, sizeof(seen->flow.dest));
	return read_quoted_ports(c, seen, ip->nexthdr);
}

/* Whether an address answers echo requests. */
static __always_inline int is_echoing(const struct flow *flow)
{
	struct vip_key key = { .address = flow->dest, .protocol = flow->protocol, .family = flow->family };

	return bpf_map_lookup_elem(&vips, &key) != NULL;
}

/* A checksum after its first word, which was `from`, became `to` (RFC 1624). */
static __always_inline __u16 changed_word(__u16 checksum, __u16 from, __u16 to)
{
	return ~csum_fold((__u16)~checksum + (__u16)~from + to);
}

static __always_inline int echo_ipv4(struct ethhdr *eth, struct iphdr *ip, struct icmp *icmp)
{
	__be32 source = ip->saddr;

	swap_macs(eth);
	ip->saddr = ip->daddr;
	ip->daddr = source;
	ip->ttl = OUTER_TTL;
	ip->check = ipv4_csum(ip);
	icmp->type = ICMP_ECHOREPLY;
	icmp->checksum = changed_word(icmp->checksum, bpf_htons(ICMP_ECHO << 8), bpf_htons(ICMP_ECHOREPLY << 8));
	return finish(ICMP_ECHOED, XDP_TX);
}

static __always_inline int echo_ipv6(struct ethhdr *eth, struct ipv6hdr *ip, struct icmp *icmp)
{
	struct in6_addr source = ip->saddr;

	swap_macs(eth);
	ip->saddr = ip->daddr;
	ip->daddr = source;
	ip->hop_limit = OUTER_TTL;
	icmp->type = ICMP6_ECHOREPLY;
	icmp->checksum = changed_word(icmp->checksum, bpf_htons(ICMP6_ECHO << 8), bpf_htons(ICMP6_ECHOREPLY << 8));
	return finish(ICMP_ECHOED, XDP_TX);
}

static __always_inline int read_icmp(struct cursor *c, struct seen *seen, struct ethhdr *eth, struct iphdr *ip)
{
	struct icmp *icmp;

	if (!take_icmp(c, &icmp))
		return finish(CUT_SHORT, XDP_DROP);
	if (icmp->type == ICMP_ECHO && icmp->code == 0 && is_echoing(&seen->flow))
		return echo_ipv4(eth, ip, icmp);
	if (icmp->type != ICMP_DEST_UNREACH)
		return finish(ICMP_OTHER, XDP_PASS);
	count(icmp->code == ICMP_FRAG_NEEDED ? ICMP_TOO_BIG : ICMP_UNREACHABLE);
	return read_quoted_ipv4(c, seen);
}

static __always_inline int read_icmp6(struct cursor *c, struct seen *seen, struct ethhdr *eth, struct ipv6hdr *ip)
{
	struct icmp *icmp;

	if (!take_icmp(c, &icmp))
		return finish(CUT_SHORT, XDP_DROP);
	if (icmp->type == ICMP6_ECHO && icmp->code == 0 && is_echoing(&seen->flow))
		return echo_ipv6(eth, ip, icmp);
	if (icmp->type != ICMP6_TOO_BIG && icmp->type != ICMP6_DEST_UNREACH)
		return finish(ICMP_OTHER, XDP_PASS);
	count(icmp->type == ICMP6_TOO_BIG ? ICMP_TOO_BIG : ICMP_UNREACHABLE);
	return read_quoted_ipv6(c, seen);
}

static __always_inline int over_ipv4(struct xdp_md *ctx, struct cursor *c, struct ethhdr *eth)
{
	struct seen seen = { .flow = { .family = 4 } };
	struct iphdr *ip;
	int action;

	if (!take_ipv4(c, &ip))
		return finish(CUT_SHORT, XDP_DROP);
	if (ip->ihl != 5 || (ip->frag_off & bpf_htons(IP_FRAGMENT)))
		return finish(FRAGMENT, XDP_DROP);
	seen.len = bpf_ntohs(ip->tot_len);
	seen.tos = ip->tos;
	seen.flow.protocol = ip->protocol;
	seen.flow.source.word[0] = ip->saddr;
	seen.flow.dest.word[0] = ip->daddr;
	if (ip->protocol == IPPROTO_ICMP)
		action = read_icmp(c, &seen, eth, ip);
	else
		action = read_transport(c, &seen);
	return action == GO_ON ? balance(ctx, &seen, c) : action;
}

static __always_inline int over_ipv6(struct xdp_md *ctx, struct cursor *c, struct ethhdr *eth)
{
	struct seen seen = { .flow = { .family = 6 } };
	struct ipv6hdr *ip;
	int action;

	if (!take_ipv6(c, &ip))
		return finish(CUT_SHORT, XDP_DROP);
	if (ip->nexthdr == IPPROTO_FRAGMENT)
		return finish(FRAGMENT, XDP_DROP);
	seen.len = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	seen.tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	seen.flow.protocol = ip->nexthdr;
	__builtin_memcpy(&seen.flow.source, &ip->saddr, sizeof(seen.flow.source));
	__builtin_memcpy(&seen.flow.dest, &ip->daddr, sizeof(seen.flow.dest));
	if (ip->nexthdr == IPPROTO_ICMPV6)
		action = read_icmp6(c, &seen, eth, ip);
	else
		action = read_transport(c, &seen);
	return action == GO_ON ? balance(ctx, &seen, c) : action;
}

SEC("xdp")
int xdp_l4lb(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct ethhdr *eth;

	if (!take_eth(&c, &eth))
		return finish(CUT_SHORT, XDP_DROP);
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return over_ipv4(ctx, &c, eth);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return over_ipv6(ctx, &c, eth);
	return finish(TO_NO_VIP, XDP_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
