//! Time, CPU and random numbers.

use super::{Helper, HelperFn, Proto, RetType};
use crate::platform::Clock;
use crate::vm::{Ctx, RunEnv, WorkerBlock};
use core::num::NonZeroU64;

const fn plain(id: u32, name: &'static str, func: HelperFn) -> Helper {
    Helper { id, name, proto: Proto::new(&[], RetType::Integer), func: Some(func) }
}

pub(super) const KTIME: Helper = plain(5, "bpf_ktime_get_ns", ktime);
pub(super) const PRANDOM: Helper = plain(7, "bpf_get_prandom_u32", prandom);
pub(super) const SMP_ID: Helper = Helper {
    id: 8,
    name: "bpf_get_smp_processor_id",
    proto: Proto::new(&[], RetType::Cpu),
    func: Some(smp_id),
};
pub(super) const NUMA_NODE: Helper = plain(42, "bpf_get_numa_node_id", numa_node);
pub(super) const JIFFIES64: Helper = plain(118, "bpf_jiffies64", jiffies64);
pub(super) const KTIME_BOOT: Helper = plain(125, "bpf_ktime_get_boot_ns", ktime_boot);
pub(super) const KTIME_COARSE: Helper = plain(160, "bpf_ktime_get_coarse_ns", ktime_coarse);
pub(super) const KTIME_TAI: Helper = plain(208, "bpf_ktime_get_tai_ns", ktime_tai);

/// A clock in nanoseconds. A program that asks for one that the platform does not have was refused.
///
/// # Safety
/// `ctx` is the run's context.
unsafe fn clock(ctx: *const Ctx, clock: Clock) -> u64 {
    // SAFETY: the caller's; the context's services, where there are some, outlive it.
    let env = unsafe { (*ctx).env.as_ref() };
    env.and_then(|e| e.platform.clock_ns(clock)).unwrap_or(0)
}

unsafe extern "C" fn ktime(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: engines call helpers with the run's context.
    unsafe { clock(ctx, Clock::Monotonic) }
}

unsafe extern "C" fn ktime_boot(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `ktime`.
    unsafe { clock(ctx, Clock::Boottime) }
}

unsafe extern "C" fn ktime_coarse(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `ktime`.
    unsafe { clock(ctx, Clock::Coarse) }
}

unsafe extern "C" fn ktime_tai(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `ktime`.
    unsafe { clock(ctx, Clock::Tai) }
}

/// Ticks as the kernel counts them: from five minutes before 2^32.
pub(super) fn jiffies(env: &RunEnv) -> u64 {
    let ticks = env.platform.clock_ns(Clock::Coarse).unwrap_or(0) / env.tick_ns;
    let start = (1u64 << 32).wrapping_sub(300_000_000_000 / env.tick_ns);
    start.wrapping_add(ticks)
}

/// Minutes of the kernel's count of ticks.
pub(super) fn minutes(env: &RunEnv) -> u64 {
    let minute = NonZeroU64::new(60_000_000_000 / env.tick_ns).unwrap_or(NonZeroU64::MIN);
    jiffies(env) / minute
}

unsafe extern "C" fn jiffies64(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `ktime`.
    unsafe { (*ctx).env.as_ref() }.map_or(0, jiffies)
}

/// Where the thread runs at this moment.
unsafe extern "C" fn numa_node(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `ktime`.
    let env = unsafe { (*ctx).env.as_ref() };
    env.map_or(0, |e| u64::from(e.platform.numa_node()))
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
