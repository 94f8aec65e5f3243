//! DPDK's rte_hash and rte_lpm, in a library that is compiled from `peer.c` when the benchmark starts.

use crate::keys::Route;
use crate::measure::{Ask, Lane, Make};
use anyhow::{Context, Result, ensure};
use libloading::Library;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::process::Command;

type Table = *mut c_void;
type Ask64 = unsafe extern "C" fn(Table, *const u64, u32) -> u64;
type Change = unsafe extern "C" fn(Table, *const u64, u32) -> c_int;

/// EAL, started once, and the functions of `peer.c`.
pub(crate) struct Dpdk {
    hash: unsafe extern "C" fn(u32, c_int) -> Table,
    hash_free: unsafe extern "C" fn(Table),
    hash_add: Change,
    hash_lookup: Ask64,
    hash_burst: Ask64,
    hash_replace: Ask64,
    lpm: unsafe extern "C" fn(u32, u32) -> Table,
    lpm_free: unsafe extern "C" fn(Table),
    lpm_add: unsafe extern "C" fn(Table, u32, u8, u32) -> c_int,
    lpm_lookup: Ask64,
    lpm_burst: Ask64,
    lpm_lookup_value: Ask64,
    lpm_burst_value: Ask64,
    lpm_values: unsafe extern "C" fn(*const u64),
    memory: unsafe extern "C" fn() -> u64,
    thread: unsafe extern "C" fn(c_int),
    _library: Library,
}

impl Dpdk {
    /// Compiles, loads, and starts EAL with so many megabytes.
    pub(crate) fn start(megabytes: u32, huge: bool) -> Result<Dpdk> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("peer.so");
        compile(&path)?;
        // SAFETY: built here from a file of this repository; DPDK's own constructors only register things. The symbols have these types there.
        unsafe {
            let library = Library::new(&path)?;
            let init: unsafe extern "C" fn(*const c_char, c_int) -> c_int = *library.get(b"peer_init")?;
            let megabytes = CString::new(megabytes.to_string())?;
            let status = init(megabytes.as_ptr(), c_int::from(huge));
            // EAL keeps the arguments.
            std::mem::forget(megabytes);
            ensure!(status == 0, "EAL does not start: {}", std::io::Error::from_raw_os_error(-status));
            Ok(Dpdk {
                hash: *library.get(b"peer_hash")?,
                hash_free: *library.get(b"peer_hash_free")?,
                hash_add: *library.get(b"peer_hash_add")?,
                hash_lookup: *library.get(b"peer_hash_lookup")?,
                hash_burst: *library.get(b"peer_hash_burst")?,
                hash_replace: *library.get(b"peer_hash_replace")?,
                lpm: *library.get(b"peer_lpm")?,
                lpm_free: *library.get(b"peer_lpm_free")?,
                lpm_add: *library.get(b"peer_lpm_add")?,
                lpm_lookup: *library.get(b"peer_lpm_lookup")?,
                lpm_burst: *library.get(b"peer_lpm_burst")?,
                lpm_lookup_value: *library.get(b"peer_lpm_lookup_value")?,
                lpm_burst_value: *library.get(b"peer_lpm_burst_value")?,
                lpm_values: *library.get(b"peer_lpm_values")?,
                memory: *library.get(b"peer_memory")?,
                thread: *library.get(b"peer_thread")?,
                _library: library,
            })
        }
    }

    /// A hash with the keys below `entries`; for several threads where `shared`.
    pub(crate) fn hash(&self, entries: u32, shared: bool) -> Result<Peer<'_>> {
        // SAFETY: EAL runs; keys are read during the call alone.
        unsafe {
            let before = (self.memory)();
            let table = (self.hash)(entries, c_int::from(shared));
            ensure!(!table.is_null(), "rte_hash of {entries} entries cannot be made");
            let peer =
                Peer { dpdk: self, table, shared, free: self.hash_free, memory: (self.memory)() - before };
            let keys: Vec<u64> = (0..u64::from(entries)).collect();
            let status = (self.hash_add)(table, keys.as_ptr(), entries);
            ensure!(status == 0, "rte_hash does not take {entries} entries: {status}");
            Ok(peer)
        }
    }

    pub(crate) fn lpm(&self, routes: &[Route]) -> Result<Peer<'_>> {
        let long = routes.iter().filter(|r| r.len > 24).count() as u32;
        // SAFETY: as above.
        unsafe {
            let before = (self.memory)();
            let table = (self.lpm)(routes.len() as u32, long.max(1).next_power_of_two());
            ensure!(!table.is_null(), "rte_lpm of {} routes cannot be made", routes.len());
            let peer = Peer {
                dpdk: self,
                table,
                shared: false,
                free: self.lpm_free,
                memory: (self.memory)() - before,
            };
            for (i, r) in (1..).zip(routes) {
                let status = (self.lpm_add)(table, r.address, r.len, i);
                ensure!(status == 0, "rte_lpm does not take route {i}: {status}");
            }
            Ok(peer)
        }
    }
}

/// A table, and what may be asked of it.
pub(crate) struct Peer<'a> {
    dpdk: &'a Dpdk,
    table: Table,
    shared: bool,
    free: unsafe extern "C" fn(Table),
    pub(crate) memory: u64,
}

// SAFETY: several threads ask only tables that were made for that.
unsafe impl Sync for Peer<'_> {}

impl Drop for Peer<'_> {
    fn drop(&mut self) {
        // SAFETY: made by the function that this one belongs to; lanes borrow it.
        unsafe { (self.free)(self.table) }
    }
}

impl Peer<'_> {
    fn ask(&self, what: Ask64) -> Make<'_> {
        Box::new(move |_| Ok(Box::new(Asking { table: self.table, what, _thread: self.thread() })))
    }

    fn thread(&self) -> Option<Thread<'_>> {
        self.shared.then(|| Thread::new(self.dpdk))
    }
    pub(crate) fn hash_lookup(&self) -> Make<'_> {
        self.ask(self.dpdk.hash_lookup)
    }
    pub(crate) fn hash_burst(&self) -> Make<'_> {
        self.ask(self.dpdk.hash_burst)
    }
    pub(crate) fn hash_replace(&self) -> Make<'_> {
        self.ask(self.dpdk.hash_replace)
    }
    pub(crate) fn hash_update(&self) -> Make<'_> {
        Box::new(move |_| {
            Ok(Box::new(Changing { table: self.table, what: self.dpdk.hash_add, _thread: self.thread() }))
        })
    }
    /// With each route's value read where `values` are given: a number for each next hop.
    pub(crate) fn lpm_lookup<'a>(&'a self, values: Option<&'a [u64]>) -> Make<'a> {
        self.ask_lpm(values, self.dpdk.lpm_lookup, self.dpdk.lpm_lookup_value)
    }
    pub(crate) fn lpm_burst<'a>(&'a self, values: Option<&'a [u64]>) -> Make<'a> {
        self.ask_lpm(values, self.dpdk.lpm_burst, self.dpdk.lpm_burst_value)
    }

    fn ask_lpm<'a>(&'a self, values: Option<&'a [u64]>, plain: Ask64, with_value: Ask64) -> Make<'a> {
        let Some(values) = values else { return self.ask(plain) };
        // SAFETY: there are as many as next hops, and the lanes borrow them.
        unsafe { (self.dpdk.lpm_values)(values.as_ptr()) };
        self.ask(with_value)
    }
}

/// This thread's number.
struct Thread<'a>(&'a Dpdk);

impl<'a> Thread<'a> {
    fn new(dpdk: &'a Dpdk) -> Self {
        // SAFETY: EAL runs.
        unsafe { (dpdk.thread)(1) };
        Thread(dpdk)
    }
}

impl Drop for Thread<'_> {
    fn drop(&mut self) {
        // SAFETY: `new` registered this thread: lanes stay where they are made.
        unsafe { (self.0.thread)(0) }
    }
}

struct Asking<'a> {
    table: Table,
    what: Ask64,
    _thread: Option<Thread<'a>>,
}

impl Lane for Asking<'_> {
    fn run(&mut self, ask: &Ask<'_>) -> u64 {
        // SAFETY: the table outlives its lanes; keys are read during the call.
        unsafe { (self.what)(self.table, ask.keys.as_ptr(), ask.keys.len() as u32) }
    }
}

struct Changing<'a> {
    table: Table,
    what: Change,
    _thread: Option<Thread<'a>>,
}

impl Lane for Changing<'_> {
    fn run(&mut self, ask: &Ask<'_>) -> u64 {
        // SAFETY: as above.
        unsafe { (self.what)(self.table, ask.keys.as_ptr(), ask.keys.len() as u32) as u64 }
    }
}

fn compile(to: &Path) -> Result<()> {
    let flags = Command::new("pkg-config")
        .args(["--cflags", "--libs", "libdpdk"])
        .output()
        .context("cannot run pkg-config")?;
    ensure!(flags.status.success(), "{}", String::from_utf8_lossy(&flags.stderr).trim());
    let flags = String::from_utf8(flags.stdout)?;
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let ran = Command::new(&compiler)
        .args(["-O3", "-march=native", "-shared", "-fPIC", "-w"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("maps/peer.c"))
        .arg("-o")
        .arg(to)
        .args(flags.split_whitespace())
        .output()
        .with_context(|| format!("cannot run {compiler}"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{compiler}: {}", said.lines().next().unwrap_or("failed"));
    Ok(())
}
