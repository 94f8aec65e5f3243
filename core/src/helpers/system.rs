//! Time, CPU and random numbers.

use super::{Helper, Proto, RetType};
use crate::platform::Clock;
use crate::vm::{Ctx, WorkerBlock};

pub(super) const KTIME: Helper =
    Helper { id: 5, name: "bpf_ktime_get_ns", proto: Proto::new(&[], RetType::Integer), func: Some(ktime) };

pub(super) const PRANDOM: Helper = Helper {
    id: 7,
    name: "bpf_get_prandom_u32",
    proto: Proto::new(&[], RetType::Integer),
    func: Some(prandom),
};

pub(super) const SMP_ID: Helper = Helper {
    id: 8,
    name: "bpf_get_smp_processor_id",
    proto: Proto::new(&[], RetType::Cpu),
    func: Some(smp_id),
};

/// `CLOCK_MONOTONIC` in nanoseconds; 0 where the platform has no clock, which the loader refuses beforehand.
pub(super) const NUMA_NODE: Helper =
    Helper::known(42, "bpf_get_numa_node_id", Proto::new(&[], RetType::Integer));

pub(super) const JIFFIES64: Helper = Helper::known(118, "bpf_jiffies64", Proto::new(&[], RetType::Integer));

pub(super) const KTIME_BOOT: Helper =
    Helper::known(125, "bpf_ktime_get_boot_ns", Proto::new(&[], RetType::Integer));

pub(super) const KTIME_COARSE: Helper =
    Helper::known(160, "bpf_ktime_get_coarse_ns", Proto::new(&[], RetType::Integer));

pub(super) const KTIME_TAI: Helper =
    Helper::known(208, "bpf_ktime_get_tai_ns", Proto::new(&[], RetType::Integer));

unsafe extern "C" fn ktime(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context; its services, where there are some, outlive it.
    let env = unsafe { (*ctx).env.as_ref() };
    env.and_then(|e| e.platform.clock_ns(Clock::Monotonic)).unwrap_or(0)
}

/// 32 bits of the worker's generator.
unsafe extern "C" fn prandom(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context; its worker's block, where there is one, belongs to this thread.
    let block = unsafe { WorkerBlock::of(ctx) };
    block.map_or(0, |b| u64::from(b.random()))
}

/// The worker's slot.
unsafe extern "C" fn smp_id(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context.
    u64::from(unsafe { (*ctx).slot })
}
