//! An environment: everything that programs, maps and workers of one process share. A process may have several; they know nothing of each other.

use super::block::WorkerBlock;
use super::grace::{Grace, Reclamation, Retired};
use super::timers::TimerTable;
use super::trace::Line;
use super::{AbortReason, CookieSecrets, Prog, RunEnv, Timers};
use crate::error::Errno;
use crate::helpers::{HelperSet, STANDARD};
use crate::host::{Host, Service};
use crate::maps::Wakes;
use crate::maps::{Guest, Map, MapConfig, MapType, Reference, Reported, names_program};
use crate::mem::Vec;
use crate::net::Tables;
use crate::platform::{MapMemory, Platform};
use crate::program::AttachType;
use crate::sync::{Arc, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use core::num::NonZeroU64;

/// Slots for control-plane writers, behind those of workers.
const CLIENT_SLOTS: u32 = 64;
/// Most slots of workers.
const MAX_CPUS: u32 = 4096;

/// What an environment is to be.
#[derive(Clone, Copy, Default)]
pub struct EnvOptions {
    /// Slots of workers and of per-CPU maps; 0: the number of possible CPUs.
    pub nr_cpus: u32,
    /// Where maps live; none: the platform's memory.
    pub map_memory: Option<&'static dyn MapMemory>,
    /// The helpers that programs may call; none: all standard ones.
    pub helpers: Option<HelperSet>,
    /// What only the host can do; none: nothing, and programs that want it are refused.
    pub host: Option<&'static dyn Host>,
}

/// An environment.
pub struct Env {
    run: RunEnv,
    map_memory: &'static dyn MapMemory,
    helpers: HelperSet,
    grace: Grace,
    blocks: Vec<WorkerBlock>,
    last_prog_id: AtomicU32,
    last_map_id: AtomicU32,
    /// A bit a client slot that is in use.
    clients: AtomicU64,
    /// One reader of the trace at a time.
    reading: spin::Mutex<()>,
}

impl Env {
    /// An environment on a platform.
    ///
    /// # Errors
    /// EINVAL for more slots than 4,096; ENOMEM.
    pub fn new(platform: &'static dyn Platform, options: &EnvOptions) -> Result<Arc<Env>, Errno> {
        let nr_cpus = match options.nr_cpus {
            0 => platform.possible_cpus().clamp(1, MAX_CPUS),
            n if n <= MAX_CPUS => n,
            _ => return Err(Errno::EINVAL),
        };
        Ok(Arc::new(Env {
            run: RunEnv {
                platform,
                nr_cpus,
                timers: Timers::new()?,
                tick_ns: NonZeroU64::new(platform.tick_ns()).unwrap_or(NonZeroU64::MIN),
                cookie_secrets: cookie_secrets(platform),
                host: options.host,
                network: AtomicPtr::new(core::ptr::null_mut()),
                wakes: Wakes::new()?,
            },
            map_memory: match options.map_memory {
                Some(memory) => memory,
                None => platform,
            },
            helpers: options.helpers.unwrap_or(STANDARD),
            grace: Grace::new(nr_cpus)?,
            blocks: Vec::from_fn(nr_cpus as usize, |_| WorkerBlock::new())?,
            last_prog_id: AtomicU32::new(0),
            last_map_id: AtomicU32::new(0),
            clients: AtomicU64::new(0),
            reading: spin::Mutex::new(()),
        })?)
    }

    /// Slots of workers and per-CPU maps.
    pub fn nr_cpus(&self) -> u32 {
        self.run.nr_cpus
    }

    /// The surroundings.
    pub fn platform(&self) -> &'static dyn Platform {
        self.run.platform
    }

    /// The helpers that its programs may call.
    pub fn helpers(&self) -> HelperSet {
        self.helpers
    }

    /// What a map of this environment is made with; the secret is new each time.
    pub fn map_config(&self, memory: Option<&'static dyn MapMemory>) -> MapConfig {
        let mut secret = [0; 16];
        self.run.platform.random(&mut secret);
        let secret = u128::from_le_bytes(secret);
        MapConfig {
            nr_cpus: self.run.nr_cpus,
            writer_slots: self.run.nr_cpus + CLIENT_SLOTS,
            page_size: self.run.platform.page_size(),
            memory: memory.unwrap_or(self.map_memory),
            private_memory: self.run.platform,
            secret: [secret as u64, (secret >> 64) as u64],
            processes: self.run.platform.processes(),
            epochs: Some(self.grace.epochs().clone()),
            wakes: Some(self.run.wakes.clone()),
        }
    }

    /// A number for a map.
    ///
    /// # Errors
    /// EMFILE after four thousand million of them.
    pub fn new_map_id(&self) -> Result<u32, Errno> {
        next_id(&self.last_map_id)
    }

    pub(super) fn new_prog_id(&self) -> Result<u32, Errno> {
        next_id(&self.last_prog_id)
    }

    /// Gives a map of this environment its timers, where its values have one.
    pub(super) fn add_timers(&self, map: &Map) -> Result<(), Errno> {
        if map.spec().fields.timer.is_none() {
            return Ok(());
        }
        // SAFETY: the map keeps the table to its end, and does not move: it is shared.
        map.set_timers(unsafe {
            TimerTable::new(&self.run.timers, self.run.platform, map, map.nr_elements())?
        });
        Ok(())
    }

    /// A slot for control-plane writes, for as long as the guard lives: at most a call. Waits for one where all are in use.
    pub fn client_slot(&self) -> ClientSlot<'_> {
        loop {
            let used = self.clients.load(Ordering::Relaxed);
            let free = used.trailing_ones();
            // Acquire: pairs with the Release of the one who had the slot before.
            if free < CLIENT_SLOTS
                && self
                    .clients
                    .compare_exchange_weak(used, used | 1 << free, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return ClientSlot { env: self, bit: free };
            }
            self.run.platform.yield_now();
        }
    }

    /// Sets or clears an entry of a PROG_ARRAY; the program that was there goes after a grace period.
    ///
    /// # Errors
    /// As [`Map::set_prog`]; EINVAL for a program of another environment, and one that differs from those that use the map or stand in it: in `xdp.frags`, or in where it
    /// attaches; ENOMEM.
    pub fn set_prog(&self, map: &Map, index: u32, prog: Option<&Arc<Prog>>) -> Result<(), Errno> {
        let inside = map.spec().kind == MapType::ProgArray && index < map.spec().max_entries;
        let fits = |p: &Arc<Prog>| {
            let code = p.program().code();
            core::ptr::eq(Arc::as_ptr(p.env()), self) && (!inside || map.admit_entry(code.attach, code.frags))
        };
        if prog.is_some_and(|p| !fits(p)) {
            return Err(Errno::EINVAL);
        }
        let place = self.grace.reserve()?;
        if let Some(old) = map.set_prog(index, prog.map(Prog::prog_ref))? {
            self.grace.retire(place, Retired::Reference(Reference::Prog(old)));
        }
        Ok(())
    }

    /// Puts an inner map into a map of maps; the one that was there goes after a grace period.
    ///
    /// # Errors
    /// As [`Map::set_map`].
    pub fn set_map(&self, map: &Map, key: &[u8], inner: &Arc<Map>, flags: u64) -> Result<(), Errno> {
        self.replace(|slot| map.set_map(slot, key, inner.clone(), flags))
    }

    /// Sets an entry of a device, CPU or socket map, with a program for the packets that go there; the former goes after a grace period.
    ///
    /// # Errors
    /// As [`Map::set_target`]; EINVAL for a program of another environment, or in a map that has none. EINVAL, in a CPUMAP ENOMEM as on Linux, for one that is not made for entries
    /// of this type, and one that differs in `xdp.frags` from those that use the map or stand in it.
    pub fn set_target(
        &self,
        map: &Map,
        key: &[u8],
        value: &[u8],
        prog: Option<&Arc<Prog>>,
        flags: u64,
    ) -> Result<(), Errno> {
        let wanted = match map.spec().kind {
            MapType::Devmap | MapType::DevmapHash => Some(AttachType::XdpDevmap),
            MapType::Cpumap => Some(AttachType::XdpCpumap),
            _ => None,
        };
        if prog.is_some_and(|p| !core::ptr::eq(Arc::as_ptr(p.env()), self) || wanted.is_none()) {
            return Err(Errno::EINVAL);
        }
        let admitted = || {
            prog.is_none_or(|p| {
                let code = p.program().code();
                Some(code.attach) == wanted && map.admit_entry(code.attach, code.frags)
            })
        };
        let guest = prog.map(|p| Guest { prog: Prog::prog_ref(p), admitted: &admitted });
        self.replace(|slot| map.set_target_if(slot, key, value, guest, flags))
    }

    /// Sets the value of a key, as [`Map::update_elem`]; of a device, CPU or socket map without a program.
    ///
    /// # Errors
    /// As [`Map::update_elem`] and [`Map::set_target`]; EINVAL for a value that names a program by a number.
    pub fn update_elem(&self, map: &Map, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        match map.spec().kind {
            MapType::Devmap | MapType::DevmapHash | MapType::Cpumap if names_program(value) => {
                Err(Errno::EINVAL)
            }
            MapType::Devmap | MapType::DevmapHash | MapType::Cpumap | MapType::Xskmap => {
                self.set_target(map, key, value, None, flags)
            }
            _ => map.update_elem(self.client_slot().slot(), key, value, flags),
        }
    }

    /// Removes a key, as [`Map::delete_elem`]; what it referred to goes after a grace period.
    ///
    /// # Errors
    /// As [`Map::delete_elem`].
    pub fn delete_elem(&self, map: &Map, key: &[u8]) -> Result<(), Errno> {
        self.replace(|slot| map.delete_elem(slot, key))
    }

    /// Does a change in a client slot and retires what it took out.
    fn replace(&self, change: impl FnOnce(u32) -> Result<Option<Reference>, Errno>) -> Result<(), Errno> {
        let place = self.grace.reserve()?;
        if let Some(old) = change(self.client_slot().slot())? {
            self.grace.retire(place, Retired::Reference(old));
        }
        Ok(())
    }

    /// Frees a reference that left a map, after a grace period. Where memory is too short to wait for one in a list, it is waited for here.
    pub fn retire(&self, old: Reference) {
        match self.grace.reserve() {
            Ok(place) => self.grace.retire(place, Retired::Reference(old)),
            Err(_) => {
                // Not `synchronize`: this may run inside a drop, for which that would wait.
                self.grace.wait(self.run.platform);
                drop(old);
            }
        }
    }

    /// Publishes what programs may know of the network (`bpf_fib_lookup`, `bpf_check_mtu`), in place of what was published before: each lookup sees one or the other. The
    /// former goes after a grace period. Programs with such helpers can be loaded from the first time on.
    ///
    /// # Errors
    /// ENOMEM; what was published before stays then.
    pub fn set_network(&self, tables: Tables) -> Result<(), Errno> {
        let place = self.grace.reserve()?;
        let tables = Arc::into_raw(Arc::new(tables)?).cast_mut();
        // Release: whoever loads the pointer sees the tables; Acquire: the old ones are seen whole by whoever drops them.
        let old = self.run.network.swap(tables, Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: a former call gave this reference away, and the swap took it back, once.
            self.grace.retire(place, Retired::Network(unsafe { Arc::from_raw(old) }));
        }
        Ok(())
    }

    /// Whether a service of the host is there.
    pub fn provides(&self, service: Service) -> bool {
        match service {
            Service::Network => self.run.network().is_some(),
            Service::Random => self.run.cookie_secrets.is_some(),
            Service::Clock(clock) => self.run.platform.clock_ns(clock).is_some(),
            other => self.run.host.is_some_and(|h| h.provides(other)),
        }
    }

    /// Waits until every worker that is online now was quiescent; frees what that set free. Never from a worker.
    pub fn synchronize(&self) {
        self.grace.synchronize(self.run.platform);
    }

    /// What a slot's worker has reported; `None` for a slot that is none. Any thread; costs workers nothing.
    pub fn reported(&self, slot: u32) -> Option<Reported> {
        self.grace.epochs().reported(slot)
    }

    /// How much waits to be freed, and which worker holds it up by never saying that it is quiescent. Any thread; costs workers nothing.
    pub fn reclamation(&self) -> Reclamation {
        self.grace.reclamation()
    }

    /// Reads messages of `bpf_trace_printk` as lines, oldest first, as many whole ones as fit; the bytes written.
    pub fn trace_read(&self, out: &mut [u8]) -> usize {
        let _reading = self.reading.lock();
        let mut len = 0;
        loop {
            let rings = self.blocks.iter().enumerate().filter_map(|(i, b)| Some((i, b.ring()?)));
            let oldest = rings
                .filter_map(|(i, r)| Some((r.next_time()?, i, r)))
                .min_by_key(|(time, slot, _)| (*time, *slot));
            let Some((_, slot, ring)) = oldest else { return len };
            let rest = out.get_mut(len..).unwrap_or_default();
            let mut written = 0;
            ring.pop(|record| {
                let line = Line::new(rest).write(slot, record);
                written = line.unwrap_or(0);
                line.is_some()
            });
            if written == 0 {
                return len;
            }
            len += written;
        }
    }

    /// Messages that were lost because a ring was full.
    pub fn trace_lost(&self) -> u64 {
        self.blocks.iter().filter_map(|b| b.ring()).map(|r| r.lost()).sum()
    }

    /// Aborted runs by reason, of one slot or of all, whatever the program.
    pub fn aborts(&self, slot: Option<u32>) -> [u64; AbortReason::COUNT] {
        let mut sum = [0; AbortReason::COUNT];
        for (i, block) in self.blocks.iter().enumerate() {
            if slot.is_none_or(|s| s as usize == i) {
                for (total, n) in sum.iter_mut().zip(block.aborts()) {
                    *total += n;
                }
            }
        }
        sum
    }

    pub(super) fn grace(&self) -> &Grace {
        &self.grace
    }

    pub(super) fn block(&self, slot: u32) -> Option<&WorkerBlock> {
        self.blocks.get(slot as usize)
    }

    pub(super) fn run_env(&self) -> &RunEnv {
        &self.run
    }
}

/// Keys for the life of an environment, as the kernel's are for the life of the machine.
fn cookie_secrets(platform: &dyn Platform) -> Option<CookieSecrets> {
    let mut bytes = [0; 64];
    let mut words = [0; 8];
    if !platform.random(&mut bytes) {
        return None;
    }
    for (word, eight) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = eight.iter().fold(0, |w: u64, &b| w << 8 | u64::from(b));
    }
    let [a, b, c, d, e, f, g, h] = words;
    Some([[a, b], [c, d], [e, f], [g, h]])
}

impl Drop for Env {
    fn drop(&mut self) {
        let tables = *self.run.network.get_mut();
        if !tables.is_null() {
            // SAFETY: `set_network` gave this reference away; no worker is left that could read it.
            drop(unsafe { Arc::from_raw(tables) });
        }
    }
}

fn next_id(last: &AtomicU32) -> Result<u32, Errno> {
    let step = last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |id| id.checked_add(1));
    step.map(|id| id + 1).map_err(|_| Errno::EMFILE)
}

/// A control-plane writer's slot.
pub struct ClientSlot<'a> {
    env: &'a Env,
    bit: u32,
}

impl ClientSlot<'_> {
    /// The slot's number, as map writes take it.
    pub fn slot(&self) -> u32 {
        self.env.run.nr_cpus + self.bit
    }
}

impl Drop for ClientSlot<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of the next holder.
        self.env.clients.fetch_and(!(1 << self.bit), Ordering::Release);
    }
}
