//! Maps in memory that the caller has, and maps that are there already: made once, attached by every process that shares them.
//!
//! Whoever attaches copies the header, checks the copy whole against a layout of its own and against what memory there really is, and never looks at it
//! again but for the word that says frozen. Everything else in the memory stays untrusted: each kind bounds what it reads. Types whose entries are references of
//! one process, and values with fields that belong to one, are refused by name.

use super::attach_error::AttachError;
use super::header::{self, Found};
use super::holders::{Holders, Peers};
use super::layout::{CACHE_LINE, HEADER_BYTES, Layout};
use super::memory::MapPlace;
use super::ops::{MapOps, Ops};
use super::spec::flags::BPF_F_RDONLY_PROG;
use super::{Kind, Making, Map, MapConfig, MapError, MapSpec, MapType, check};
use crate::error::Errno;
use crate::sync::Arc;

/// Whether several processes can use a map of that spec.
///
/// # Errors
/// What belongs to one process alone.
pub fn check_sharable(spec: &MapSpec) -> Result<(), AttachError> {
    match spec.kind {
        MapType::Array if spec.flags & BPF_F_RDONLY_PROG != 0 => {
            return Err(AttachError::Private(spec.kind, "constant data"));
        }
        MapType::ProgArray
        | MapType::ArrayOfMaps
        | MapType::HashOfMaps
        | MapType::Devmap
        | MapType::DevmapHash
        | MapType::Cpumap
        | MapType::Xskmap => return Err(AttachError::References(spec.kind)),
        MapType::PerfEventArray => return Err(AttachError::Private(spec.kind, "an open event")),
        _ => {}
    }
    if spec.fields.timer.is_some() {
        return Err(AttachError::Private(spec.kind, "a bpf_timer"));
    }
    if spec.fields.spin_lock.is_some() {
        return Err(AttachError::Private(spec.kind, "a bpf_spin_lock"));
    }
    Ok(())
}

impl Map {
    /// Makes a map in memory of the caller's that other processes can attach: zeroed, aligned to [`super::memory_alignment`], of [`super::memory_size`] bytes at
    /// least. The memory is given back when the map goes, or is refused.
    ///
    /// # Errors
    /// As [`Map::create`]; [`AttachError`] for memory that is too small, not aligned or in use, types that cannot be shared, and platforms without
    /// processes.
    pub fn create_in(
        place: MapPlace,
        name: &str,
        id: u32,
        spec: &MapSpec,
        cfg: &MapConfig,
    ) -> Result<Arc<Map>, MapError> {
        let MapPlace(region) = place;
        check::check(spec)?;
        check_sharable(spec)?;
        let (spec, cfg) = (&check::rounded(spec, cfg.nr_cpus), &MapConfig { epochs: None, ..cfg.clone() });
        let l = Layout::of(spec, cfg)?;
        if region.size() < l.total {
            return Err(AttachError::Truncated { have: region.size(), need: l.total as u64 }.into());
        }
        if !region.base().as_ptr().addr().is_multiple_of(l.align) {
            return Err(AttachError::Alignment(l.align).into());
        }
        if !header::is_blank(&region) {
            return Err(AttachError::Occupied.into());
        }
        let realm = cfg.processes.ok_or(AttachError::NoProcesses)?.realm();
        let peers = peers(&region, cfg, &l)?;
        let kind = Kind::new(&Making { region: &region, name, spec, cfg, l: &l, peers: &peers })?;
        header::publish(&region, name, spec, cfg, &l, realm);
        let frozen = Some(header::frozen_word(&region));
        Map::assemble(region, kind, name, (id, spec, cfg), peers, frozen)
    }

    /// Takes part in a map that is there. The environment of `cfg` has as many CPUs as the map's; what dead processes left in the map is put in order.
    ///
    /// # Errors
    /// [`AttachError`] for memory that holds no map, one that this library does not know, or one that its header describes wrongly; EBUSY (by
    /// [`AttachError::NoSlot`]) where too many processes share it. The memory is given back.
    pub fn attach(place: MapPlace, id: u32, cfg: &MapConfig) -> Result<Arc<Map>, MapError> {
        let MapPlace(region) = place;
        if !region.base().as_ptr().addr().is_multiple_of(CACHE_LINE) {
            return Err(AttachError::Alignment(CACHE_LINE).into());
        }
        let found = Found::read(&region)?;
        let spec = &found.spec()?;
        check::check(spec)?;
        check_sharable(spec)?;
        let cfg = &found.config(cfg)?;
        if *spec != check::rounded(spec, cfg.nr_cpus) {
            return Err(AttachError::Field("max_entries").into());
        }
        let l = Layout::of(spec, cfg)?;
        found.check(&l)?;
        if !region.base().as_ptr().addr().is_multiple_of(l.align) {
            return Err(AttachError::Alignment(l.align).into());
        }
        let name = found.name()?;
        let peers = peers(&region, cfg, &l)?;
        let kind = Kind::new(&Making { region: &region, name, spec, cfg, l: &l, peers: &peers })?;
        let frozen = Some(header::frozen_word(&region));
        let map = Map::assemble(region, kind, name, (id, spec, cfg), peers, frozen)?;
        match map.recover() {
            // A living writer is inside for long, or another process recovers: it goes on without.
            Ok(_) | Err(Errno::EBUSY) => Ok(map),
            Err(_) => Err(AttachError::Field("contents").into()),
        }
    }

    /// CPUs of the map in some memory, whatever environment that was: what an environment needs that is to attach it.
    ///
    /// # Errors
    /// [`AttachError`] as [`Map::attach`], as far as it can be told.
    pub fn cpus_of(place: &MapPlace) -> Result<u32, AttachError> {
        if !place.0.base().as_ptr().addr().is_multiple_of(CACHE_LINE) {
            return Err(AttachError::Alignment(CACHE_LINE));
        }
        Ok(Found::read(&place.0)?.nr_cpus())
    }

    /// Whether other processes may use it.
    pub fn is_shared(&self) -> bool {
        self.frozen_by_others.is_some()
    }

    /// Puts in order what dead processes left in a shared map, and frees their slots; how many. To be called now and then by whoever watches over the processes,
    /// from any thread but not in the midst of an operation on this map. Writers are told EBUSY if it takes longer than they wait; readers notice nothing.
    ///
    /// # Errors
    /// EBUSY while another recovers, or a living writer does not end its operation; EPROTO where somebody wrote nonsense into shared memory.
    pub fn recover(&self) -> Result<u32, Errno> {
        let Some(h) = self.peers.holders().filter(|h| h.is_due()) else { return Ok(0) };
        let gate = h.begin()?;
        let is_gone = |slot| h.is_recovered(slot);
        match &self.kind {
            Kind::Hash(k) => k.recover(&is_gone)?,
            Kind::PercpuHash(k) => k.recover(&is_gone)?,
            Kind::LruHash(k) => k.recover(&is_gone)?,
            Kind::LruPercpuHash(k) => k.recover(&is_gone)?,
            Kind::Ops(Ops::Trie(t)) => t.recover(&is_gone)?,
            Kind::Ops(Ops::Other(k)) => k.recover(&is_gone)?,
            Kind::Array(_) | Kind::PercpuArray(_) | Kind::ProgArray(_) => {}
        }
        Ok(h.end(gate))
    }
}

/// The other processes, for types whose writers have slots.
fn peers(region: &super::memory::Region, cfg: &MapConfig, l: &Layout) -> Result<Peers, MapError> {
    if l.holders == 0 { Ok(Peers::default()) } else { Peers::new(Holders::new(region, cfg, l)?) }
}

const _: () = assert!(HEADER_BYTES.is_multiple_of(CACHE_LINE));
