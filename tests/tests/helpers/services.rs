//! What a platform or a host does not provide, and what exists in the kernel alone, refuses at load by name. A row for each service and helper that wants it.

use crate::host;
use crate::ours;
use crate::row::row;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use uxdp_core::host::{Host, MissingService, Service};
use uxdp_core::net::Fib;
use uxdp_core::platform::{Clock, CodeMemory, MapMemory, MemRequest, Platform};
use uxdp_core::sync::Arc;
use uxdp_core::vm::{EngineChoice, Env, EnvOptions};
use uxdp_platform::PLATFORM;

/// A platform, and a host, that lack one service.
struct Without(Option<Service>);

impl MapMemory for Without {
    fn alloc(&self, request: &MemRequest<'_>) -> Option<NonNull<u8>> {
        MapMemory::alloc(&PLATFORM, request)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        // SAFETY: the caller's.
        unsafe { MapMemory::free(&PLATFORM, ptr, size) }
    }
}

impl Platform for Without {
    fn code_memory(&self) -> Option<&dyn CodeMemory> {
        PLATFORM.code_memory()
    }

    fn clock_ns(&self, clock: Clock) -> Option<u64> {
        PLATFORM.clock_ns(clock).filter(|_| self.0 != Some(Service::Clock(clock)))
    }

    fn random(&self, out: &mut [u8]) -> bool {
        self.0 != Some(Service::Random) && PLATFORM.random(out)
    }

    fn yield_now(&self) {
        PLATFORM.yield_now();
    }

    fn page_size(&self) -> usize {
        PLATFORM.page_size()
    }

    fn possible_cpus(&self) -> u32 {
        PLATFORM.possible_cpus()
    }
}

impl Host for Without {
    fn provides(&self, service: Service) -> bool {
        self.0 != Some(service)
    }
}

thread_local! {
    /// What environments of this thread lack.
    static LACKING: Cell<Option<Service>> = const { Cell::new(None) };
}

fn env() -> Arc<Env> {
    let without: &'static Without = Box::leak(Box::new(Without(LACKING.get())));
    let env = Env::new(without, &EnvOptions { host: Some(without), ..EnvOptions::default() }).unwrap();
    if without.0 != Some(Service::Network) {
        env.set_network(Fib::new().tables().unwrap()).unwrap();
    }
    env
}

const CT: (&str, &str) = ("host", "host_connections");
const MONOTONIC: Service = Service::Clock(Clock::Monotonic);
const COARSE: Service = Service::Clock(Clock::Coarse);

/// File and program, what is lacking, the helper that wants it, what would provide it.
const ROWS: [((&str, &str), Service, &str, &str); 30] = [
    (("services", "wants_monotonic"), MONOTONIC, "bpf_ktime_get_ns", "CLOCK_MONOTONIC"),
    (
        ("services", "wants_boottime"),
        Service::Clock(Clock::Boottime),
        "bpf_ktime_get_boot_ns",
        "CLOCK_BOOTTIME",
    ),
    (("services", "wants_coarse"), COARSE, "bpf_ktime_get_coarse_ns", "CLOCK_MONOTONIC_COARSE"),
    (("services", "wants_tai"), Service::Clock(Clock::Tai), "bpf_ktime_get_tai_ns", "CLOCK_TAI"),
    (("services", "wants_ticks"), COARSE, "bpf_jiffies64", "CLOCK_MONOTONIC_COARSE"),
    (("services", "wants_timer"), MONOTONIC, "bpf_timer_start", "CLOCK_MONOTONIC"),
    (("fib", "fib_query"), Service::Network, "bpf_fib_lookup", "uxdp_fib_publish"),
    (("fib", "mtu_query"), Service::Network, "bpf_check_mtu", "uxdp_fib_publish"),
    (("services", "wants_sk_lookup_tcp"), Service::SkLookup, "bpf_sk_lookup_tcp", "sk_lookup"),
    (("services", "wants_sk_lookup_udp"), Service::SkLookup, "bpf_sk_lookup_udp", "sk_lookup"),
    (("services", "wants_skc_lookup_tcp"), Service::SkLookup, "bpf_skc_lookup_tcp", "sk_lookup"),
    (("services", "wants_sk_lookup_tcp"), Service::SkRelease, "bpf_sk_release", "sk_release"),
    (
        ("services", "wants_tcp_gen_syncookie"),
        Service::TcpGenSyncookie,
        "bpf_tcp_gen_syncookie",
        "tcp_gen_syncookie",
    ),
    (
        ("services", "wants_tcp_check_syncookie"),
        Service::TcpCheckSyncookie,
        "bpf_tcp_check_syncookie",
        "tcp_check_syncookie",
    ),
    (CT, Service::CtAlloc, "bpf_xdp_ct_alloc", "ct_alloc"),
    (CT, Service::CtLookup, "bpf_xdp_ct_lookup", "ct_lookup"),
    (CT, Service::CtInsert, "bpf_ct_insert_entry", "ct_insert"),
    (CT, Service::CtRelease, "bpf_ct_release", "ct_release"),
    (CT, Service::CtSetTimeout, "bpf_ct_set_timeout", "ct_set_timeout"),
    (CT, Service::CtChangeTimeout, "bpf_ct_change_timeout", "ct_change_timeout"),
    (CT, Service::CtSetStatus, "bpf_ct_set_status", "ct_set_status"),
    (CT, Service::CtChangeStatus, "bpf_ct_change_status", "ct_change_status"),
    (RAW[0].0, Service::Random, RAW[0].1, "random numbers"),
    (RAW[1].0, Service::Random, RAW[1].1, "random numbers"),
    (RAW[2].0, Service::Random, RAW[2].1, "random numbers"),
    (RAW[3].0, Service::Random, RAW[3].1, "random numbers"),
    (RAW[0].0, COARSE, RAW[0].1, "CLOCK_MONOTONIC_COARSE"),
    (RAW[1].0, COARSE, RAW[1].1, "CLOCK_MONOTONIC_COARSE"),
    (RAW[2].0, COARSE, RAW[2].1, "CLOCK_MONOTONIC_COARSE"),
    (RAW[3].0, COARSE, RAW[3].1, "CLOCK_MONOTONIC_COARSE"),
];

const RAW: [((&str, &str), &str); 4] = [
    (("services", "wants_tcp_raw_gen_syncookie_ipv4"), "bpf_tcp_raw_gen_syncookie_ipv4"),
    (("services", "wants_tcp_raw_gen_syncookie_ipv6"), "bpf_tcp_raw_gen_syncookie_ipv6"),
    (("services", "wants_tcp_raw_check_syncookie_ipv4"), "bpf_tcp_raw_check_syncookie_ipv4"),
    (("services", "wants_tcp_raw_check_syncookie_ipv6"), "bpf_tcp_raw_check_syncookie_ipv6"),
];

#[test]
fn every_service_that_lacks_refuses_with_helper_and_provider() {
    let mut wanted: BTreeSet<String> = MissingService::all().map(|m| m.to_string()).collect();
    for ((object, program), lacking, helper, provider) in ROWS {
        let row = row(object, program).env(env);
        LACKING.set(None);
        if let Err(why) = ours::load(&row, EngineChoice::Interp) {
            panic!("{program}: with all that it wants: {why}");
        }
        LACKING.set(Some(lacking));
        let refused = ours::load(&row, EngineChoice::Interp).err().unwrap_or_else(|| panic!("{program}"));
        let number = MissingService::all().find(|m| m.helper == helper).unwrap().id;
        assert_eq!(refused, format!("{helper}#{number} wants the host, which does not provide {provider}"));
        wanted.remove(&refused);
    }
    assert!(wanted.is_empty(), "without a row: {wanted:?}");
}

#[test]
fn programs_that_want_a_host_are_refused_without_one() {
    for (object, program, why) in [
        ("host", "host_no_socket", "bpf_sk_lookup_tcp#84 wants the host, which does not provide sk_lookup"),
        ("fib", "fib_query", "bpf_fib_lookup#69 wants the host, which does not provide uxdp_fib_publish"),
    ] {
        let refused = ours::load(&row(object, program), EngineChoice::Interp).err().unwrap();
        assert_eq!(refused, why);
    }
}

#[test]
fn what_is_only_in_the_kernel_is_refused_by_name_and_reason() {
    for (program, what) in [
        ("other_cpu", "helper bpf_per_cpu_ptr#153"),
        ("this_cpu", "helper bpf_this_cpu_ptr#154"),
        ("exchanged", "helper bpf_kptr_xchg#194"),
        ("cast", "kernel function bpf_rdonly_cast"),
    ] {
        let row = row("kernel_only", program).env(host::env);
        let refused = ours::load(&row, EngineChoice::Interp).err().unwrap();
        let why = format!("{what} is not provided: it needs objects of the kernel, which exist only there");
        assert_eq!(refused.lines().next(), Some(why.as_str()));
    }
}
