/* SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0) */
/*
 * Header parsing that several programs share.
 *
 * A cursor walks from `data` to `data_end`. Each take_*() gives a header that lies wholly in the packet,
 * moves the cursor behind it and returns 1; or it returns 0 and leaves the cursor where it was. Nothing here
 * looks at a header's contents beyond what is needed to find the next one.
 */
#ifndef XDP_PROGS_PARSE_H
#define XDP_PROGS_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* One 802.1Q or 802.1ad tag: it stands between the MAC addresses and the EtherType of what follows. */
struct vlan_tag {
	__be16 tci;
	__be16 next_proto;
};

/* What TCP and UDP headers begin with. */
struct ports {
	__be16 source;
	__be16 dest;
};

/* "More fragments" and the offset of an IPv4 header; and the offset alone. */
#define IP_FRAGMENT 0x3fff
#define IP_OFFSET 0x1fff

/* A frame behind its VLAN tags can carry this many: a service tag and a customer tag. */
#define MAX_VLAN_TAGS 2

struct cursor {
	void *pos;
	void *end;
};

static __always_inline struct cursor cursor_of(struct xdp_md *ctx)
{
	struct cursor c = {
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};

	return c;
}

#define TAKE(name, type)                                            \
	static __always_inline int name(struct cursor *c, type **hdr) \
	{                                                           \
		type *here = c->pos;                                \
                                                                    \
		if ((void *)(here + 1) > c->end)                    \
			return 0;                                   \
		c->pos = here + 1;                                  \
		*hdr = here;                                        \
		return 1;                                           \
	}

TAKE(take_eth, struct ethhdr)
TAKE(take_vlan, struct vlan_tag)
TAKE(take_ipv6, struct ipv6hdr)
TAKE(take_udp, struct udphdr)
TAKE(take_ports, struct ports)

/* An IPv4 header with its options; refused when it says another version or fewer than 20 bytes. */
static __always_inline int take_ipv4(struct cursor *c, struct iphdr **hdr)
{
	struct iphdr *ip = c->pos;
	__u32 len;

	if ((void *)(ip + 1) > c->end || ip->version != 4)
		return 0;
	len = ip->ihl * 4;
	if (len < sizeof(*ip) || c->pos + len > c->end)
		return 0;
	c->pos += len;
	*hdr = ip;
	return 1;
}

/* A TCP header with its options. */
static __always_inline int take_tcp(struct cursor *c, struct tcphdr **hdr)
{
	struct tcphdr *tcp = c->pos;
	__u32 len;

	if ((void *)(tcp + 1) > c->end)
		return 0;
	len = tcp->doff * 4;
	if (len < sizeof(*tcp) || c->pos + len > c->end)
		return 0;
	c->pos += len;
	*hdr = tcp;
	return 1;
}

static __always_inline int is_vlan(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

/*
 * Steps over up to MAX_VLAN_TAGS tags that follow a header whose EtherType is `proto`.
 * Returns the EtherType behind them; with more tags than that, or a tag cut short, the tag's own EtherType.
 */
static __always_inline __be16 skip_vlans(struct cursor *c, __be16 proto)
{
	struct vlan_tag *tag;
	int i;

#pragma unroll
	for (i = 0; i < MAX_VLAN_TAGS; i++) {
		if (!is_vlan(proto))
			break;
		if (!take_vlan(c, &tag))
			break;
		proto = tag->next_proto;
	}
	return proto;
}

/* Both addresses are six bytes; three 16-bit words each, since a header is at least 2-byte aligned. */
static __always_inline void swap_macs(struct ethhdr *eth)
{
	__u16 *dest = (void *)eth->h_dest;
	__u16 *source = (void *)eth->h_source;
	int i;

#pragma unroll
	for (i = 0; i < ETH_ALEN / 2; i++) {
		__u16 word = dest[i];

		dest[i] = source[i];
		source[i] = word;
	}
}

/*
 * The same number, of which the compiler knows nothing any more: what is tested of it afterwards stays tested, in the
 * register that is used. Lengths that a helper takes need it.
 */
static __always_inline __u64 opaque(__u64 number)
{
	asm volatile("" : "+r"(number));
	return number;
}

/* Folds a 32-bit sum, as bpf_csum_diff() gives it, to the 16 bits of the ones-complement sum. */
static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The checksum of a 20-byte IPv4 header, whatever its checksum field holds. */
static __always_inline __u16 ipv4_csum(const struct iphdr *ip)
{
	const __u16 *words = (const void *)ip;
	__u32 sum = 0;
	int i;

#pragma unroll
	for (i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += words[i];
	sum -= ip->check;
	return ~csum_fold(sum);
}

/* A hash of three words in the manner of Jenkins' final mix: every input bit moves about half of the result's. */
static __always_inline __u32 hash3(__u32 a, __u32 b, __u32 c)
{
#define HASH_STEP(x, y, rot) x ^= y, x -= (y << rot) | (y >> (32 - rot))
	a += 0x9e3779b9;
	b += 0x9e3779b9;
	HASH_STEP(c, b, 14);
	HASH_STEP(a, c, 11);
	HASH_STEP(b, a, 25);
	HASH_STEP(c, b, 16);
	HASH_STEP(a, c, 4);
	HASH_STEP(b, a, 14);
	HASH_STEP(c, b, 24);
#undef HASH_STEP
	return c;
}

#endif
