//! What a run came to on one side, and the first thing in which two sides differ.

use crate::fields::{differing_fields, hex};
use crate::masks::Masks;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use uxdp_control::records::Record;
use uxdp_core::maps::MapType;
use uxdp_core::vm::Action;

/// What one packet came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The program's code.
    pub code: u32,
    /// The packet afterwards.
    pub data: Vec<u8>,
    /// What stands before it.
    pub metadata: Vec<u8>,
    /// What came out for readers, with the name of its map.
    pub records: Vec<(String, Record)>,
}

/// A map's contents by key; of per-CPU maps CPU 0's values.
pub(crate) type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Something that is not the same on both sides.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The engine that differs from the kernel.
    pub engine: &'static str,
    /// The packet, counted from 0; `None` for maps after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<usize>,
    /// The packet before the run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// A line each: `what: kernel's, ours`.
    pub lines: Vec<String>,
}

/// The name of a code; what is no action is what both sides make of it.
pub(crate) fn action_name(code: u32) -> &'static str {
    Action::from_code(code).unwrap_or(Action::Aborted).name()
}

/// The lines in which two outcomes differ.
pub(crate) fn outcomes(
    kernel: &Outcome,
    ours: &Outcome,
    masks: &Masks,
    used: &mut BTreeSet<String>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let (theirs, own) = (action_name(kernel.code), action_name(ours.code));
    if !masks.action(theirs, own, used) {
        lines.push(format!("action: {theirs}, {own}"));
    }
    let (mut want, mut got) = (kernel.data.clone(), ours.data.clone());
    masks.packet(&mut want, used);
    masks.packet(&mut got, used);
    lines.extend(differing_fields(&want, &got));
    if kernel.metadata != ours.metadata {
        lines.push(format!("metadata: {}, {}", hex(&kernel.metadata), hex(&ours.metadata)));
    }
    if kernel.records.len() != ours.records.len() {
        lines.push(format!("records: {}, {}", kernel.records.len(), ours.records.len()));
    }
    for ((map, want), (_, got)) in kernel.records.iter().zip(&ours.records) {
        if !same_record(want, got) {
            lines.push(format!("record of {map}: {}, {}", hex(&want.bytes), hex(&got.bytes)));
        }
    }
    lines
}

/// A sample of a perf event array ends with what rounds it up, which the kernel leaves unwritten.
fn same_record(want: &Record, got: &Record) -> bool {
    const ROUNDING: usize = 7;
    let whole = if want.cpu.is_some() { want.bytes.len().saturating_sub(ROUNDING) } else { want.bytes.len() };
    want.cpu == got.cpu && want.bytes.len() == got.bytes.len() && want.bytes[..whole] == got.bytes[..whole]
}

/// The lines in which a map's contents differ, at most `MANY`.
pub(crate) fn contents(
    (map, kind): (&str, MapType),
    kernel: &Contents,
    ours: &Contents,
    masks: &Masks,
    used: &mut BTreeSet<String>,
) -> Vec<String> {
    const MANY: usize = 8;
    let evicts = matches!(kind, MapType::LruHash | MapType::LruPercpuHash);
    let mut lines = Vec::new();
    let keys: BTreeSet<&Vec<u8>> = kernel.keys().chain(ours.keys()).collect();
    for key in keys {
        let masked = |side: &Contents, used: &mut BTreeSet<String>| {
            side.get(key).map(|value| {
                let mut value = value.clone();
                masks.value(map, &mut value, used);
                value
            })
        };
        let (want, got) = (masked(kernel, used), masked(ours, used));
        if evicts && want.is_some() != got.is_some() {
            // Which entry has to go is each side's own choice; what both kept is compared.
            used.insert(format!(
                "entries of {map} that only one side still has: which is evicted is its own choice"
            ));
            continue;
        }
        if want != got && lines.len() < MANY {
            let shown = |v: Option<Vec<u8>>| v.map_or_else(|| "none".to_owned(), |v| hex(&v));
            lines.push(format!("{map}[{}]: {}, {}", hex(key), shown(want), shown(got)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: u32, data: &[u8]) -> Outcome {
        Outcome { code, data: data.to_vec(), ..Outcome::default() }
    }

    fn lines(a: &Outcome, b: &Outcome) -> Vec<String> {
        outcomes(a, b, &Masks::default(), &mut BTreeSet::new())
    }

    fn record(cpu: Option<u32>, bytes: &[u8]) -> (String, Record) {
        ("ring".into(), Record { cpu, bytes: bytes.to_vec() })
    }

    #[test]
    fn each_part_of_an_outcome_is_compared() {
        let base = outcome(2, &[0; 20]);
        assert!(lines(&base, &base).is_empty());
        assert_eq!(lines(&base, &outcome(1, &[0; 20])), ["action: XDP_PASS, XDP_DROP"]);
        assert_eq!(lines(&base, &outcome(2, &[0; 19]))[0], "length: 20, 19");
        let changed = [&[0; 12][..], &[8, 0, 0, 0, 0, 0, 0, 0][..]].concat();
        assert_eq!(lines(&base, &outcome(2, &changed)), ["eth.type: 0x0000, 0x0800"]);
        let meta = Outcome { metadata: vec![1, 2, 3, 4], ..base.clone() };
        assert_eq!(lines(&base, &meta), ["metadata: , 01020304"]);
        let one = Outcome { records: vec![record(None, &[1])], ..base.clone() };
        let other = Outcome { records: vec![record(None, &[2])], ..base.clone() };
        assert_eq!(lines(&base, &one), ["records: 0, 1"]);
        assert_eq!(lines(&one, &other), ["record of ring: 01, 02"]);
    }

    #[test]
    fn codes_that_are_no_actions_are_all_aborted() {
        assert!(lines(&outcome(77, &[]), &outcome(0, &[])).is_empty());
    }

    #[test]
    fn the_end_of_a_sample_is_padding() {
        let of = |cpu, bytes: &[u8]| Outcome { records: vec![record(cpu, bytes)], ..outcome(2, &[]) };
        let (a, b) = ([7, 7, 1, 2, 3, 4, 5, 6, 7], [7, 7, 9, 9, 9, 9, 9, 9, 9]);
        assert!(lines(&of(Some(0), &a), &of(Some(0), &b)).is_empty());
        assert!(!lines(&of(None, &a), &of(None, &b)).is_empty());
        assert!(!lines(&of(Some(0), &a), &of(Some(1), &a)).is_empty());
    }

    #[test]
    fn contents_differ_by_value_and_by_key_but_not_by_eviction() {
        let of = |entries: &[(u8, u8)]| -> Contents {
            entries.iter().map(|(k, v)| (vec![*k], vec![*v])).collect()
        };
        let compare = |kind, a: &Contents, b: &Contents| {
            contents(("m", kind), a, b, &Masks::default(), &mut BTreeSet::new())
        };
        let (a, b) = (of(&[(1, 1), (2, 2)]), of(&[(1, 1), (3, 3)]));
        assert_eq!(compare(MapType::Hash, &a, &b), ["m[02]: 02, none", "m[03]: none, 03"]);
        assert!(compare(MapType::LruHash, &a, &b).is_empty());
        assert_eq!(compare(MapType::LruHash, &a, &of(&[(1, 9)])), ["m[01]: 01, 09"]);
    }
}
