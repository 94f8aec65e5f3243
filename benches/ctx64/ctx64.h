/* SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0) */
/*
 * The context of userspace BPF runtimes that do not rewrite context loads: the packet's bounds as 64-bit numbers.
 *
 * Included before a program of xdp_progs, unchanged otherwise; for peers in benchmarks alone.
 */
#include <linux/bpf.h>

struct xdp_md_ctx64 {
	__u64 data;
	__u64 data_end;
	__u64 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

#define xdp_md xdp_md_ctx64
