//! What maps of references hold in the kernel: descriptors and numbers of real things, and which number of the pool each stands for.

use super::program::{Attach, Program};
use super::{Fd, KernelMap};
use crate::maps::tests::model::pool;
use crate::maps::{MapSpec, MapType};
use std::process::Command;
use std::vec::Vec;

/// The kernel's things of one type of map: number `n` of the pool is the one at `n - 1`.
#[derive(Debug, Default)]
pub(super) struct References {
    programs: Vec<Program>,
    /// With their ids; the last one is not like the template.
    maps: Vec<(KernelMap, u32)>,
    interfaces: Vec<u32>,
    /// Sockets, of which the last one is not the pool's, or perf events.
    files: Vec<Fd>,
}

/// A descriptor that is none.
const NO_FILE: u32 = 0x7fff_0000;

impl References {
    /// `None` where they cannot be made.
    pub(super) fn of(kind: MapType) -> Option<References> {
        let programs = |attach| (0..pool::SIZE).map(|_| Program::pass(attach)).collect::<Option<_>>();
        let mut all = References::default();
        match kind {
            MapType::ProgArray => all.programs = programs(Attach::Interface)?,
            MapType::Devmap | MapType::DevmapHash => {
                all.programs = programs(Attach::Device)?;
                all.interfaces = interfaces()?;
            }
            MapType::Cpumap => all.programs = programs(Attach::Cpu)?,
            MapType::Xskmap => all.files = (0..=pool::SIZE).map(|_| socket()).collect::<Option<_>>()?,
            MapType::PerfEventArray => all.files = (0..pool::SIZE).map(|_| event()).collect::<Option<_>>()?,
            MapType::ArrayOfMaps | MapType::HashOfMaps => {
                let specs = core::iter::repeat_n(pool::LIKE, pool::SIZE as usize).chain([pool::UNLIKE]);
                let make = |spec| {
                    KernelMap::create(&spec).map(|map| {
                        let id = map.id();
                        (map, id)
                    })
                };
                all.maps = specs.map(make).collect::<Option<_>>()?;
            }
            _ => {}
        }
        Some(all)
    }

    /// An inner map that is like the others.
    pub(super) fn template(&self) -> Option<&KernelMap> {
        self.maps.first().map(|(map, _)| map)
    }

    /// The socket that no entry holds.
    pub(super) fn probe(&self) -> [u8; 4] {
        self.files[pool::SIZE as usize].0.to_le_bytes()
    }

    /// A value as bpf(2) takes it.
    pub(super) fn given(&self, spec: &MapSpec, value: &[u8]) -> Vec<u8> {
        let words = value.chunks(4).map(|w| u32::from_le_bytes(w.try_into().unwrap()));
        let program = |n: u32| n.checked_sub(1).map_or(0, |i| self.programs[i as usize].fd.0 as u32);
        let file = |n: u32| self.files.get(n as usize - 1).map_or(NO_FILE, |f| f.0 as u32);
        let first = |n: u32| match spec.kind {
            MapType::ProgArray => program(n),
            MapType::Devmap | MapType::DevmapHash => {
                n.checked_sub(1).map_or(0, |i| self.interfaces[i as usize])
            }
            MapType::Xskmap | MapType::PerfEventArray => file(n),
            MapType::ArrayOfMaps | MapType::HashOfMaps => self.maps[n as usize - 1].0.fd.0 as u32,
            _ => n,
        };
        words
            .enumerate()
            .flat_map(|(i, n)| if i == 0 { first(n) } else { program(n) }.to_le_bytes())
            .collect()
    }

    /// What bpf(2) shows, in numbers of the pool.
    pub(super) fn shown(&self, spec: &MapSpec, value: &[u8]) -> Vec<u8> {
        let words = value.chunks(4).map(|w| u32::from_le_bytes(w.try_into().unwrap()));
        let at = |found: Option<usize>| found.map_or(0, |i| i as u32 + 1);
        let program = |id: u32| at(self.programs.iter().position(|p| p.id == id));
        let first = |n: u32| match spec.kind {
            MapType::ProgArray => program(n),
            MapType::Devmap | MapType::DevmapHash => at(self.interfaces.iter().position(|i| *i == n)),
            MapType::ArrayOfMaps | MapType::HashOfMaps => at(self.maps.iter().position(|(_, id)| *id == n)),
            _ => n,
        };
        words
            .enumerate()
            .flat_map(|(i, n)| if i == 0 { first(n) } else { program(n) }.to_le_bytes())
            .collect()
    }
}

/// Interfaces of a network of this thread's own: the loopback, and two that are joined.
fn interfaces() -> Option<Vec<u32>> {
    // SAFETY: changes the network name space of this thread alone, which ends with the row.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return None;
    }
    let pair = ["link", "add", "name", "ua", "type", "veth", "peer", "name", "ub"];
    let made = Command::new("ip").args(pair).status().ok()?;
    // SAFETY: names that end with a zero.
    let number = |name: &core::ffi::CStr| unsafe { libc::if_nametoindex(name.as_ptr()) };
    made.success().then(|| [c"lo", c"ua", c"ub"].map(number).to_vec())
}

fn socket() -> Option<Fd> {
    // SAFETY: no pointers.
    Fd::answered(unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) }.into())
}

/// What programs put out (PERF_COUNT_SW_BPF_OUTPUT), on CPU 0.
fn event() -> Option<Fd> {
    const SIZE: u64 = 128;
    let mut attr = [0u64; SIZE as usize / 8];
    attr[0] = 1 | SIZE << 32;
    attr[1] = 10;
    attr[3] = 1 << 10;
    let (pid, cpu, group, flags) = (-1, 0, -1, 8u64);
    // SAFETY: the attributes are as long as they say.
    Fd::answered(unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), pid, cpu, group, flags) })
}
