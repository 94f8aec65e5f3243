// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdp_lb: spread the clients of a virtual address over servers, by rewriting addresses (both ways through here).
 *
 * Maps: service (ARRAY, 1): the virtual IPv4 address and port, the balancer's MAC address towards the servers, and
 *       how many servers there are. Addresses and ports stand as in a packet.
 *       servers (ARRAY, 64): address, MAC address and port of each server, and the packets sent to it.
 * Helpers: bpf_map_lookup_elem, bpf_csum_diff.
 * Expect: TCP and UDP in untagged IPv4 packets.
 *  - To the virtual address and port: XDP_TX, destination address, port and MAC address those of the server that
 *    the client's address and port hash to. A client keeps its server as long as their number stays.
 *  - From a server's address and port (the first 64 servers are looked at): XDP_TX, source address and port those
 *    of the service, and the MAC addresses exchanged.
 *  - Checksums are kept right by the difference; a UDP checksum of zero stays zero.
 *  - A fragment of a packet to the service is XDP_DROP. Everything else is XDP_PASS, untouched.
 */
#include "parse.h"

#define MAX_SERVERS 64

struct service {
	__be32 address;
	__be16 port;
	__u8 mac[ETH_ALEN];
	__u32 servers;
};

struct server {
	__be32 address;
	__be16 port;
	__u8 mac[ETH_ALEN];
	__u32 unused;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct service);
} service SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SERVERS);
	__type(key, __u32);
	__type(value, struct server);
} servers SEC(".maps");

/* An address and port before and after, laid out for the checksum's difference. */
struct ends {
	__be32 address;
	__be16 port;
	__be16 zero;
};

/* Changes a checksum of the Internet by the difference between two ends. */
static __always_inline __u16 adjusted(__u16 checksum, struct ends *from, struct ends *to, __u32 size)
{
	return ~csum_fold(bpf_csum_diff((__be32 *)from, size, (__be32 *)to, size, (__u16)~checksum));
}

/* Keeps the checksums of both headers right. Returns whether the transport header is whole. */
static __always_inline int fix_checksums(struct iphdr *ip, void *l4, void *end, struct ends *from, struct ends *to)
{
	struct tcphdr *tcp = l4;
	struct udphdr *udp = l4;

	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return 0;
		tcp->check = adjusted(tcp->check, from, to, sizeof(*from));
	} else {
		if ((void *)(udp + 1) > end)
			return 0;
		if (udp->check) {
			udp->check = adjusted(udp->check, from, to, sizeof(*from));
			if (!udp->check)
				udp->check = 0xffff;
		}
	}
	ip->check = adjusted(ip->check, from, to, sizeof(from->address));
	return 1;
}

static __always_inline int to_server(struct ethhdr *eth, struct iphdr *ip, struct ports *ports, void *end,
				     const struct service *vip)
{
	__u32 hash = hash3(ip->saddr, ports->source, ip->protocol);
	struct ends from = { .address = ip->daddr, .port = ports->dest };
	__u32 number = vip->servers;
	struct server *server;
	struct ends to = {};

	if (number == 0 || number > MAX_SERVERS)
		return XDP_PASS;
	number = hash % number;
	server = bpf_map_lookup_elem(&servers, &number);
	if (!server)
		return XDP_PASS;
	to.address = server->address;
	to.port = server->port;
	if (!fix_checksums(ip, ports, end, &from, &to))
		return XDP_PASS;
	ip->daddr = to.address;
	ports->dest = to.port;
	__builtin_memcpy(eth->h_dest, server->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, vip->mac, ETH_ALEN);
	__sync_fetch_and_add(&server->packets, 1);
	return XDP_TX;
}

static __always_inline int is_server(__be32 address, __be16 port, __u32 count)
{
	struct server *server;
	__u32 i, at;

	for (i = 0; i < MAX_SERVERS; i++) {
		if (i >= count)
			break;
		at = i;
		server = bpf_map_lookup_elem(&servers, &at);
		if (server && server->address == address && server->port == port)
			return 1;
	}
	return 0;
}

static __always_inline int from_server(struct ethhdr *eth, struct iphdr *ip, struct ports *ports, void *end,
				       const struct service *vip)
{
	struct ends from = { .address = ip->saddr, .port = ports->source };
	struct ends to = { .address = vip->address, .port = vip->port };

	if (!fix_checksums(ip, ports, end, &from, &to))
		return XDP_PASS;
	ip->saddr = to.address;
	ports->source = to.port;
	swap_macs(eth);
	return XDP_TX;
}

SEC("xdp")
int xdp_lb(struct xdp_md *ctx)
{
	struct cursor c = cursor_of(ctx);
	struct service *vip;
	struct ports *ports;
	struct ethhdr *eth;
	struct iphdr *ip;
	__u32 zero = 0;

	if (!take_eth(&c, &eth) || eth->h_proto != bpf_htons(ETH_P_IP) || !take_ipv4(&c, &ip))
		return XDP_PASS;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	vip = bpf_map_lookup_elem(&service, &zero);
	if (!vip)
		return XDP_PASS;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT))
		return ip->daddr == vip->address ? XDP_DROP : XDP_PASS;
	if (!take_ports(&c, &ports))
		return XDP_PASS;
	if (ip->daddr == vip->address && ports->dest == vip->port)
		return to_server(eth, ip, ports, c.end, vip);
	if (is_server(ip->saddr, ports->source, vip->servers))
		return from_server(eth, ip, ports, c.end, vip);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
