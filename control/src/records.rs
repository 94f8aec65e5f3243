//! What programs put out for readers: the records of ring buffers and the samples of perf event arrays, in the order in which they came.
//!
//! Reading takes a record out of its map. Samples end with the zero bytes that round them up, as the kernel's do.

use crate::session::{Session, SessionError};
use std::ops::ControlFlow;
use uxdp_core::error::Errno;
use uxdp_core::maps::{Map, MapType, PerfRecord};
use uxdp_core::sync::Arc;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The slot whose ring it was in; `None` for ring buffers, which all share.
    pub cpu: Option<u32>,
    /// What the program wrote.
    pub bytes: Vec<u8>,
}

/// A reader of some maps of a session.
pub struct Reader {
    maps: Vec<(String, Arc<Map>)>,
    slots: u32,
}

impl Reader {
    /// A reader of those of `names` that hold records; the rings of perf event arrays are opened.
    ///
    /// # Errors
    /// A map that there is not, or whose rings cannot be opened.
    pub fn open(session: &Session, names: &[String]) -> Result<Self, SessionError> {
        let mut maps = Vec::new();
        let slots = session.env().nr_cpus();
        for name in names {
            let map = session.find_map(name)?;
            match map.spec().kind {
                MapType::Ringbuf => {}
                MapType::PerfEventArray => {
                    for slot in 0..slots.min(map.spec().max_entries) {
                        map.perf_open(slot).map_err(|error| SessionError::Machine {
                            what: format!("cannot read map \"{name}\""),
                            error,
                        })?;
                    }
                }
                _ => continue,
            }
            maps.push((name.clone(), map.clone()));
        }
        Ok(Reader { maps, slots })
    }

    /// The names of the maps that it reads.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.maps.iter().map(|(name, _)| name.as_str())
    }

    /// Takes what is there; `each` gets the number of the map among [`names`](Self::names) and the record.
    ///
    /// # Errors
    /// What the map says.
    pub fn take(&self, each: &mut dyn FnMut(usize, Record)) -> Result<(), Errno> {
        for (number, (_, map)) in self.maps.iter().enumerate() {
            if map.spec().kind == MapType::Ringbuf {
                map.ringbuf_consume(&mut |bytes| {
                    each(number, Record { cpu: None, bytes: bytes.to_vec() });
                    ControlFlow::Continue(())
                })?;
                continue;
            }
            for slot in 0..self.slots.min(map.spec().max_entries) {
                map.perf_read(slot, &mut |record| {
                    if let PerfRecord::Sample(bytes) = record {
                        each(number, Record { cpu: Some(slot), bytes: bytes.to_vec() });
                    }
                })?;
            }
        }
        Ok(())
    }
}
