//! What one row of the table says, and what is compared of its runs.

use std::collections::BTreeMap;
use std::ops::Range;
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Env, EnvOptions, RxMeta};

/// A packet as it comes in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packet {
    /// Metadata and packet.
    pub(crate) bytes: Vec<u8>,
    /// How many bytes of `bytes` are metadata.
    pub(crate) meta: usize,
    /// How many bytes of `bytes` are in the first buffer; those behind are in fragments of a page. None: as many as fit.
    pub(crate) linear: Option<usize>,
    /// Where it came in; 0 is the loopback device of the name space.
    pub(crate) ingress_ifindex: u32,
    /// What the NIC said of it; Linux's test run says nothing.
    pub(crate) rx: RxMeta,
}

impl Packet {
    /// A packet of these bytes.
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Packet {
        Packet { bytes: bytes.into(), rx: RxMeta::NONE, ..Packet::default() }
    }

    /// `len` bytes that count up.
    pub(crate) fn counting(len: usize) -> Packet {
        Packet::new((0..len).map(|i| i as u8).collect::<Vec<u8>>())
    }
}

/// Whether Linux is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Judge {
    Linux,
    /// Not by a test run, and why: what is expected must be said then.
    Nobody(&'static str),
}

/// Bytes of the values of a map that differ from run to run.
#[derive(Clone, Debug)]
pub(crate) struct Mask {
    pub(crate) map: &'static str,
    pub(crate) bytes: Range<usize>,
}

/// One element of a map that is there before the first packet.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) map: &'static str,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// A program, what it is given, and how its runs are compared. Made by [`row`], changed by its methods.
#[derive(Clone)]
pub(crate) struct Row {
    /// File of tests/progs, without `.c`; or the path of an object.
    pub(crate) object: &'static str,
    /// Function of that file.
    pub(crate) program: &'static str,
    pub(crate) packets: Vec<Packet>,
    pub(crate) before: Vec<Element>,
    /// First values of global data, by section.
    pub(crate) initial: Vec<(&'static str, Vec<u8>)>,
    pub(crate) masks: Vec<Mask>,
    /// A perf event array whose events are open: its samples are compared, by CPU.
    pub(crate) sampled: Option<&'static str>,
    pub(crate) judge: Judge,
    /// Makes the environment that it runs in.
    pub(crate) env: fn() -> Arc<Env>,
    /// What must hold of every run, Linux's too.
    pub(crate) expect: Option<fn(&Outcome)>,
}

/// A row with one packet of 64 bytes that count up, judged by Linux.
pub(crate) fn row(object: &'static str, program: &'static str) -> Row {
    Row {
        object,
        program,
        packets: vec![Packet::counting(64)],
        before: Vec::new(),
        initial: Vec::new(),
        masks: Vec::new(),
        sampled: None,
        judge: Judge::Linux,
        env: plain_env,
        expect: None,
    }
}

impl Row {
    pub(crate) fn packets(self, packets: impl Into<Vec<Packet>>) -> Row {
        Row { packets: packets.into(), ..self }
    }

    /// An element that is in a map before.
    pub(crate) fn with(mut self, map: &'static str, key: &[u8], value: &[u8]) -> Row {
        self.before.push(Element { map, key: key.into(), value: value.into() });
        self
    }

    /// The first value of a section of global data.
    pub(crate) fn initially(mut self, section: &'static str, value: &[u8]) -> Row {
        self.initial.push((section, value.into()));
        self
    }

    /// Bytes of a map's values that are not compared: time, random numbers.
    pub(crate) fn mask(mut self, map: &'static str, bytes: Range<usize>) -> Row {
        self.masks.push(Mask { map, bytes });
        self
    }

    /// The events of a perf event array are open.
    pub(crate) fn sampled(self, map: &'static str) -> Row {
        Row { sampled: Some(map), ..self }
    }

    /// Linux's test run is not asked.
    pub(crate) fn unjudged(self, why: &'static str) -> Row {
        Row { judge: Judge::Nobody(why), ..self }
    }

    /// Runs in an environment of its own making.
    pub(crate) fn env(self, env: fn() -> Arc<Env>) -> Row {
        Row { env, ..self }
    }

    /// What must hold of every run.
    pub(crate) fn expect(self, expect: fn(&Outcome)) -> Row {
        Row { expect: Some(expect), ..self }
    }
}

/// An environment of the C library with as many slots as the machine has possible CPUs, as the kernel's per-CPU maps.
pub(crate) fn plain_env() -> Arc<Env> {
    Env::new(&uxdp_platform::PLATFORM, &EnvOptions::default()).unwrap()
}

/// What one packet became.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) action: u32,
    /// Metadata, packet, fragments.
    pub(crate) bytes: Vec<u8>,
    /// Bytes of metadata.
    pub(crate) meta: usize,
    /// Bytes of metadata and packet in the first buffer.
    pub(crate) linear: usize,
}

impl std::fmt::Debug for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Left { action, bytes, meta, linear } = self;
        write!(f, "action {action}, {} bytes ({meta} meta, {linear} linear)", bytes.len())?;
        bytes.chunks(32).take(8).try_for_each(|line| {
            f.write_str("\n   ")?;
            line.iter().try_for_each(|b| write!(f, " {b:02x}"))
        })
    }
}

/// Elements of a map by key; of queues and rings one after the other, without keys.
pub(crate) type Content = Vec<(Vec<u8>, Vec<u8>)>;

/// What is left of all packets of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) packets: Vec<Left>,
    pub(crate) maps: BTreeMap<String, Content>,
}

impl Outcome {
    /// The contents of a map by its name; of global data by that of its section.
    pub(crate) fn map(&self, name: &str) -> &Content {
        let found = self.maps.iter().find(|(n, _)| *n == name || n.ends_with(name));
        found.map(|(_, content)| content).unwrap_or_else(|| panic!("no map {name}"))
    }

    /// A number of the object's `.bss`: the `i`th of eight bytes. Programs of this folder keep their results in one array there.
    pub(crate) fn number(&self, i: usize) -> i64 {
        let value = &self.map(".bss")[0].1;
        i64::from_le_bytes(value[8 * i..8 * i + 8].try_into().unwrap())
    }

    /// Clears what is not compared.
    pub(crate) fn masked(mut self, masks: &[Mask]) -> Outcome {
        for mask in masks {
            let named = self.maps.iter_mut().filter(|(n, _)| *n == mask.map || n.ends_with(mask.map));
            for (_, value) in named.flat_map(|(_, content)| content) {
                let end = mask.bytes.end.min(value.len());
                value[mask.bytes.start.min(end)..end].fill(0);
            }
        }
        self
    }

    /// The first difference, in words.
    pub(crate) fn difference(&self, other: &Outcome) -> Option<String> {
        for (i, (a, b)) in self.packets.iter().zip(&other.packets).enumerate() {
            if a != b {
                return Some(format!("packet {i}: {a:?}\nand {b:?}"));
            }
        }
        for (name, a) in &self.maps {
            let Some(b) = other.maps.get(name) else { return Some(format!("no map {name} there")) };
            if a.len() != b.len() {
                return Some(format!("{name}: {} elements and {}: {a:x?}\nand {b:x?}", a.len(), b.len()));
            }
            for ((ka, va), (kb, vb)) in a.iter().zip(b) {
                if ka != kb {
                    return Some(format!("{name}: keys {ka:x?} and {kb:x?}"));
                }
                if let Some(at) = (0..va.len().max(vb.len())).find(|&i| va.get(i) != vb.get(i)) {
                    let around = |v: &[u8]| v[(at & !7).min(v.len())..(at + 24).min(v.len())].to_vec();
                    return Some(format!(
                        "{name}, key {ka:x?}: values differ at byte {at} (number {}): {:x?}\nand {:x?}",
                        at / 8,
                        around(va),
                        around(vb)
                    ));
                }
            }
        }
        None
    }
}
