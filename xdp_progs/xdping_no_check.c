// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * xdping_no_check: xdping as one would first write it, without a single bounds check.
 *
 * Maps: none. Helpers: none.
 * Expect: refused by the verifier at its first packet access ("invalid access to packet"), and so never run.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ICMP_ECHO 8
#define ICMP_ECHOREPLY 0

/* The ICMP echo header; <linux/icmp.h> would pull in the C library's headers, which do not know the bpf target. */
struct icmp_echo {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be16 id;
	__be16 sequence;
};

SEC("xdp")
int xdping_no_check(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct icmp_echo *icmp = (void *)(ip + 1);
	__be32 source;

	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_ICMP || icmp->type != ICMP_ECHO)
		return XDP_PASS;

	source = ip->saddr;
	ip->saddr = ip->daddr;
	ip->daddr = source;
	icmp->type = ICMP_ECHOREPLY;
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
