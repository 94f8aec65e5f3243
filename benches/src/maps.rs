//! Maps of an object, for peers that have none: they call the same map as a helper; and the same checksum helper.

use crate::Files;
use anyhow::{Context, Result};
use std::sync::OnceLock;
use uxdp_control::session::Session;
use uxdp_core::helpers::{HelperFn, STANDARD};
use uxdp_core::maps::Map;
use uxdp_core::program::{Loaded, Program};
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Ctx, EngineChoice, Worker};

/// The slot that peers run in.
const SLOT: u32 = 0;

/// A peer's object: its maps with their contents, and the right to use them.
pub(crate) struct PeerObject {
    session: Session,
    /// Holds the slot that the functions below use.
    _worker: Worker,
}

impl PeerObject {
    pub(crate) fn open(files: &Files) -> Result<Self> {
        let session = Session::open(&files.ctx64, files.maps.as_deref(), EngineChoice::Interp)?;
        let worker = Worker::register(session.env(), SLOT)?;
        Ok(PeerObject { session, _worker: worker })
    }

    pub(crate) fn program(&self) -> Result<Program<Loaded>> {
        Ok(self.session.link(self.session.choose(None)?)?)
    }

    /// The names of its maps, in the order that programs count them in.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.session.object().maps().iter().map(|m| m.name.as_str())
    }

    pub(crate) fn map(&self, name: &str) -> Result<&Arc<Map>> {
        self.session.find_map(name).context("a map of the object")
    }
}

/// `bpf_map_lookup_elem`.
///
/// # Safety
/// `map` is a [`Map`] of an open [`PeerObject`], `key` readable for its key size; this thread holds [`SLOT`].
pub(crate) unsafe extern "C" fn lookup(map: *const Map, key: *const u8) -> *mut u8 {
    // SAFETY: the caller's.
    unsafe { (*map).lookup(key, SLOT) }
}

/// `bpf_map_update_elem`.
///
/// # Safety
/// As [`lookup`], `value` readable for the value size.
pub(crate) unsafe extern "C" fn update(map: *const Map, key: *const u8, value: *const u8, flags: u64) -> i64 {
    // SAFETY: the caller's.
    match unsafe { (*map).update(key, value, flags, SLOT) } {
        Ok(()) => 0,
        Err(e) => -i64::from(e.0),
    }
}

/// `bpf_csum_diff`, uxdp's own.
///
/// # Safety
/// The sizes are of readable memory.
pub(crate) unsafe extern "C" fn csum_diff(
    from: u64,
    from_size: u64,
    to: u64,
    to_size: u64,
    seed: u64,
) -> u64 {
    const CSUM_DIFF: u32 = 28;
    static FUNC: OnceLock<HelperFn> = OnceLock::new();
    let find = || {
        let row = STANDARD.row_of(CSUM_DIFF).and_then(|row| STANDARD.get(row));
        row.map_or(no_helper as HelperFn, |helper| helper.func.unwrap_or(no_helper))
    };
    // SAFETY: the caller's; it looks at no context.
    unsafe { FUNC.get_or_init(find)(from, from_size, to, to_size, seed, std::ptr::null_mut()) }
}

unsafe extern "C" fn no_helper(_: u64, _: u64, _: u64, _: u64, _: u64, _: *mut Ctx) -> u64 {
    0
}
