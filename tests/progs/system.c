// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * system: clocks, CPU, node, random numbers.
 *
 * Maps: .bss. Helpers: ktime_get_ns, _boot_ns, _coarse_ns, _tai_ns, jiffies64, get_smp_processor_id, get_numa_node_id, get_prandom_u32.
 * Expect: in `out` what does not depend on when it runs, then the readings (from the 16th on).
 */
#include "out.h"

SEC("xdp")
int system_readings(struct xdp_md *ctx)
{
	__u64 mono = bpf_ktime_get_ns(), boot = bpf_ktime_get_boot_ns(), coarse = bpf_ktime_get_coarse_ns(), tai = bpf_ktime_get_tai_ns(),
	      jiffies = bpf_jiffies64();
	__u32 random = bpf_get_prandom_u32();
	OUT_BEGIN;

	OUT(bpf_get_smp_processor_id());
	OUT(bpf_get_numa_node_id());
	OUT(bpf_ktime_get_ns() >= mono);
	OUT(bpf_ktime_get_boot_ns() >= boot);
	OUT(bpf_ktime_get_coarse_ns() >= coarse);
	OUT(bpf_ktime_get_tai_ns() >= tai);
	OUT(bpf_jiffies64() - jiffies < 100);
	OUT(mono - coarse < 100000000);
	OUT(boot >= mono);
	OUT(tai > 1700000000000000000);
	OUT(random != bpf_get_prandom_u32() || random != bpf_get_prandom_u32());
	at_ = 16;
	OUT(mono);
	OUT(boot);
	OUT(coarse);
	OUT(tai);
	OUT(jiffies);
	return XDP_PASS;
}
