//! Map contents as JSON, in and out. The grammar is `docs/maps-json.md`; what goes out has the shape of `bpftool -j map dump`.
//!
//! Reading a file touches no map; [`MapsFile::apply`] then writes entry by entry, and the first refusal ends it with the map and the entry named.

use crate::bytes::{BytesError, Written};
use crate::ring::Ring;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uxdp_core::error::Errno;
use uxdp_core::maps::{Map, MapSpec, MapType};

/// The contents of some maps, as one file gives them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapsFile {
    maps: BTreeMap<String, Vec<Entry>>,
    #[serde(default, rename = "about")]
    _about: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: Option<Written>,
    value: Option<Written>,
    values: Option<Vec<CpuValue>>,
    ring: Option<Ring>,
    program: Option<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CpuValue {
    cpu: usize,
    value: Written,
}

/// Why maps could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum MapsError {
    /// Not the JSON that the grammar asks for.
    #[error("{0}; the grammar is in docs/maps-json.md")]
    Syntax(#[from] serde_json::Error),
    /// A map that the object does not have.
    #[error("the object has no map \"{name}\"; it has: {has}")]
    NoMap {
        /// The name in the file.
        name: String,
        /// Those of the object.
        has: String,
    },
    /// An entry that cannot be written.
    #[error("map \"{map}\", entry {index}: {why}")]
    Entry {
        /// The map.
        map: String,
        /// Counted from 0.
        index: usize,
        /// What is wrong.
        why: EntryError,
    },
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A key or value of another size or form.
    #[error("{what} {error}")]
    Bytes {
        /// "key" or "value".
        what: &'static str,
        /// How it misses.
        error: BytesError,
    },
    /// Members that do not go together.
    #[error("{0}")]
    Shape(&'static str),
    /// A CPU beyond the map's.
    #[error("CPU {cpu} does not exist: the map has {nr_cpus}")]
    Cpu {
        /// As written.
        cpu: usize,
        /// The map's.
        nr_cpus: usize,
    },
    /// A program that is not in the object.
    #[error("the object has no program \"{0}\"")]
    NoProgram(String),
    /// The map refused it.
    #[error("the map refuses it: {0}")]
    Refused(Errno),
}

/// Where entries go: the maps and programs of one loaded object, here or in the kernel.
pub trait Target {
    /// What the map of that name is.
    fn spec(&self, map: &str) -> Option<MapSpec>;
    /// The names of all maps.
    fn map_names(&self) -> Vec<String>;
    /// Puts a program into a program array.
    ///
    /// # Errors
    /// ENOENT where there is no such program, else what the map says.
    fn set_prog(&self, map: &str, index: u32, program: &str) -> Result<(), Errno>;
    /// Writes an entry of a device or CPU map with a program for the packets that go there; `value` begins with the entry's number.
    ///
    /// # Errors
    /// ENOENT where there is no such program, else what the map says.
    fn set_target(&self, map: &str, key: &[u8], value: &[u8], program: &str) -> Result<(), Errno>;
    /// Writes an entry, replacing one of the same key.
    ///
    /// # Errors
    /// What the map says.
    fn update(&self, map: &str, key: &[u8], value: &[u8]) -> Result<(), Errno>;
}

impl MapsFile {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// Where it is not what the grammar asks for, with line and column.
    pub fn parse(text: &str) -> Result<Self, MapsError> {
        Ok(serde_json::from_str(text)?)
    }

    /// Writes every entry, in order, with `BPF_ANY`. `nr_cpus` is the number of slots of per-CPU maps.
    ///
    /// # Errors
    /// The first map or entry that is refused; entries before it stay written.
    pub fn apply(&self, target: &dyn Target, nr_cpus: usize) -> Result<(), MapsError> {
        for (name, entries) in &self.maps {
            let spec = target.spec(name).ok_or_else(|| MapsError::NoMap {
                name: name.clone(),
                has: match target.map_names() {
                    names if names.is_empty() => "none".into(),
                    names => names.join(", "),
                },
            })?;
            for (index, entry) in entries.iter().enumerate() {
                entry.write(target, name, &spec, nr_cpus).map_err(|why| MapsError::Entry {
                    map: name.clone(),
                    index,
                    why,
                })?;
            }
        }
        Ok(())
    }
}

impl Entry {
    fn write(
        &self,
        target: &dyn Target,
        map: &str,
        spec: &MapSpec,
        nr_cpus: usize,
    ) -> Result<(), EntryError> {
        let key = match (&self.key, spec.key_size) {
            (None, 0) => Vec::new(),
            (Some(_), 0) => return Err(EntryError::Shape("this type of map has no keys")),
            (None, _) => return Err(EntryError::Shape("it has no \"key\"")),
            (Some(k), size) => sized(k, size as usize, "key")?,
        };
        if spec.kind == MapType::ProgArray {
            let name = self.value.as_ref().and_then(Written::as_text);
            let name = name.ok_or(EntryError::Shape("the value of a program array is a program's name"))?;
            if self.program.is_some() {
                return Err(EntryError::Shape("a program array has its program in \"value\""));
            }
            let index = u32::from_le_bytes(key.try_into().unwrap_or_default());
            return target.set_prog(map, index, name).map_err(|e| of_program(name, e));
        }
        if let Some(name) = &self.program {
            let takes = matches!(spec.kind, MapType::Devmap | MapType::DevmapHash | MapType::Cpumap);
            if !takes || spec.value_size != 8 {
                return Err(EntryError::Shape(
                    "\"program\" is for entries of device and CPU maps with values of 8 bytes",
                ));
            }
            if self.ring.is_some() {
                return Err(EntryError::Shape("it has both a \"ring\" and a \"program\""));
            }
            let value = self.value_bytes(spec, nr_cpus)?;
            return target.set_target(map, &key, &value, name).map_err(|e| of_program(name, e));
        }
        if let Some(ring) = &self.ring {
            return self.write_ring(target, (map, spec), &key, ring);
        }
        let value = self.value_bytes(spec, nr_cpus)?;
        target.update(map, &key, &value).map_err(EntryError::Refused)
    }

    /// A ring's places, one after the other from the key on.
    fn write_ring(
        &self,
        target: &dyn Target,
        (map, spec): (&str, &MapSpec),
        key: &[u8],
        ring: &Ring,
    ) -> Result<(), EntryError> {
        if spec.kind != MapType::Array || spec.value_size != 4 {
            return Err(EntryError::Shape("a ring stands in an array of 4-byte values"));
        }
        if self.value.is_some() || self.values.is_some() {
            return Err(EntryError::Shape("it has both a \"ring\" and a value"));
        }
        let first = u32::from_le_bytes(key.try_into().unwrap_or_default());
        let places = ring.places().map_err(EntryError::Shape)?;
        for (index, member) in (first..).zip(places) {
            target.update(map, &index.to_le_bytes(), &member.to_le_bytes()).map_err(EntryError::Refused)?;
        }
        Ok(())
    }

    /// The value as the control plane takes it: for a per-CPU map, all slots one after the other.
    fn value_bytes(&self, spec: &MapSpec, nr_cpus: usize) -> Result<Vec<u8>, EntryError> {
        let (size, slot) = (spec.value_size as usize, spec.slot_value_size());
        match (&self.value, &self.values, spec.kind.is_percpu()) {
            (Some(v), None, false) => sized(v, size, "value"),
            (Some(v), None, true) => {
                let mut one = sized(v, size, "value")?;
                one.resize(slot, 0);
                Ok(one.repeat(nr_cpus))
            }
            (None, Some(values), true) => {
                let mut all = vec![0; slot * nr_cpus];
                for v in values {
                    if v.cpu >= nr_cpus {
                        return Err(EntryError::Cpu { cpu: v.cpu, nr_cpus });
                    }
                    all[v.cpu * slot..][..size].copy_from_slice(&sized(&v.value, size, "value")?);
                }
                Ok(all)
            }
            (None, Some(_), false) => {
                Err(EntryError::Shape("\"values\" is for per-CPU maps; write \"value\""))
            }
            (Some(_), Some(_), _) => Err(EntryError::Shape("it has both \"value\" and \"values\"")),
            (None, None, _) => Err(EntryError::Shape("it has no \"value\"")),
        }
    }
}

/// Why a program was not put into a map.
fn of_program(name: &str, error: Errno) -> EntryError {
    match error {
        Errno::ENOENT => EntryError::NoProgram(name.to_owned()),
        e => EntryError::Refused(e),
    }
}

fn sized(written: &Written, size: usize, what: &'static str) -> Result<Vec<u8>, EntryError> {
    written.to_bytes(size, what).map_err(|error| EntryError::Bytes { what, error })
}

/// Bytes as bpftool writes them: an array of `"0x.."`.
pub fn bytes_json(bytes: &[u8]) -> Value {
    bytes.iter().map(|b| Value::String(format!("{b:#04x}"))).collect()
}

/// Which entries are dumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// Every one.
    All,
    /// Of arrays, not those that are zero throughout.
    NonZero,
}

/// The entries of a map, in the shape of `bpftool -j map dump`.
///
/// # Errors
/// What the map says of its keys, other than that there are no more.
pub fn dump(map: &Map, nr_cpus: usize, which: Entries) -> Result<Value, Errno> {
    let spec = map.spec();
    let (key_size, slot) = (spec.key_size as usize, spec.slot_value_size());
    let is_array = matches!(spec.kind, MapType::Array | MapType::PercpuArray);
    let skips_zero = is_array && which == Entries::NonZero;
    let mut entries = Vec::new();
    let (mut key, mut next) = (None::<Vec<u8>>, vec![0; key_size]);
    loop {
        match map.next_key(key.as_deref(), &mut next) {
            Ok(()) => {}
            Err(Errno::ENOENT) => break,
            Err(e) => return Err(e),
        }
        let mut value = vec![0; map.value_buffer_size()];
        match map.lookup_elem(&next, &mut value, 0) {
            Ok(()) if skips_zero && value.iter().all(|b| *b == 0) => {}
            Ok(()) if spec.kind.is_percpu() => {
                let values: Vec<Value> = value
                    .chunks(slot)
                    .take(nr_cpus)
                    .enumerate()
                    .map(|(cpu, v)| json!({"cpu": cpu, "value": bytes_json(&v[..spec.value_size as usize])}))
                    .collect();
                entries.push(json!({"key": bytes_json(&next), "values": values}));
            }
            Ok(()) => entries.push(json!({"key": bytes_json(&next), "value": bytes_json(&value)})),
            // Deleted since its key was read, or an empty slot of an array of ids.
            Err(Errno::ENOENT) => {}
            Err(e) => return Err(e),
        }
        key = Some(next.clone());
    }
    Ok(Value::Array(entries))
}
