//! What is not compared byte by byte, and why: `xdp_progs/masks.json`.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    programs: BTreeMap<String, Masks>,
    #[serde(default, rename = "about")]
    _about: String,
}

/// The masks of one program.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Masks {
    packets: Vec<PacketMask>,
    values: Vec<ValueMask>,
    actions: Vec<ActionMask>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PacketMask {
    ethertype: String,
    offset: usize,
    length: usize,
    why: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueMask {
    map: String,
    offset: usize,
    length: usize,
    why: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionMask {
    kernel: String,
    uxdp: String,
    why: String,
}

impl Masks {
    /// Those of a program in a file; none if the file does not name it.
    ///
    /// # Errors
    /// A file that cannot be read or is not such a file.
    pub fn read(file: &Path, program: &str) -> Result<Masks> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut all: File =
            serde_json::from_str(&text).with_context(|| format!("{} is no file of masks", file.display()))?;
        Ok(all.programs.remove(program).unwrap_or_default())
    }

    /// Zeroes what is not compared of a packet; what was used is noted.
    pub(crate) fn packet(&self, bytes: &mut [u8], used: &mut BTreeSet<String>) {
        for mask in &self.packets {
            let kind = bytes.get(12..14).map(crate::fields::hex);
            if kind.as_ref() == Some(&mask.ethertype)
                && let Some(covered) = bytes.get_mut(mask.offset..mask.offset + mask.length)
            {
                covered.fill(0);
                used.insert(format!(
                    "bytes {} to {} of packets: {}",
                    mask.offset,
                    mask.offset + mask.length,
                    mask.why
                ));
            }
        }
    }

    /// The same of a map's value.
    pub(crate) fn value(&self, map: &str, value: &mut [u8], used: &mut BTreeSet<String>) {
        for mask in self.values.iter().filter(|m| m.map == map) {
            if let Some(covered) = value.get_mut(mask.offset..mask.offset + mask.length) {
                covered.fill(0);
                used.insert(format!(
                    "bytes {} to {} of {map}: {}",
                    mask.offset,
                    mask.offset + mask.length,
                    mask.why
                ));
            }
        }
    }

    /// Whether two actions count as the same.
    pub(crate) fn action(&self, kernel: &str, uxdp: &str, used: &mut BTreeSet<String>) -> bool {
        kernel == uxdp
            || self.actions.iter().any(|m| {
                let same = m.kernel == kernel && m.uxdp == uxdp;
                if same {
                    used.insert(format!("{kernel} is {uxdp} here: {}", m.why));
                }
                same
            })
    }
}
