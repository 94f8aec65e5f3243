//! What is verified, and against what: the program, its maps, the helpers, the caller's limits.

use super::cfg::{Bounded, CallTraits};
use super::policy::Mode;
use super::reg::INNER;
use crate::helpers::{Callback, HelperSet, RetType};
use crate::limits::BPF_COMPLEXITY_LIMIT_INSNS;
use crate::maps::spec::flags::BPF_F_RDONLY_PROG;
use crate::maps::{MapSpec, MapType};
use crate::program::Code;

/// What the verifier needs to know of a map.
#[derive(Clone, Copy, Debug)]
pub struct MapInfo<'a> {
    /// Type, sizes, flags.
    pub spec: MapSpec,
    /// For messages.
    pub name: &'a str,
    /// Its content, where neither programs nor anybody else can change it any more.
    pub frozen: Option<&'a [u8]>,
}

/// How much a caller wants to know, and to spend.
#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// 0: nothing but the reason of a refusal; 1: instructions and the closing line; 2: and the state after each.
    pub log_level: u32,
    /// Instructions to process at most; the kernel's limit is the default.
    pub insn_budget: u32,
    /// Bytes that states may take at a time.
    pub memory_limit: usize,
    /// What is demanded beyond safety.
    pub mode: Mode,
    /// CPUs of the environment that is to run the program, none of which has a higher number; 0: not known. [`install`](crate::vm::install) refuses
    /// an environment with more.
    pub nr_cpus: u32,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions {
            log_level: 0,
            insn_budget: BPF_COMPLEXITY_LIMIT_INSNS,
            memory_limit: 256 << 20,
            mode: Mode::Compat,
            nr_cpus: 0,
        }
    }
}

/// The unchanging part of a verification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    /// The program.
    pub(crate) code: &'a Code,
    /// The maps, in the object's order.
    pub(crate) maps: &'a [MapInfo<'a>],
    /// The helpers.
    pub(crate) helpers: HelperSet,
    /// Limits.
    pub(crate) opts: VerifyOptions,
    /// Whether the verdict is all that is wanted: helpers need not be provided.
    pub(crate) judging: bool,
}

impl<'a> Input<'a> {
    /// A map by its number: its place, which comes from an instruction that was checked, or [`INNER`] and the place of the map that it is in.
    pub(crate) fn map(&self, number: u32) -> Option<MapInfo<'a>> {
        let mut info = *self.maps.get((number & !INNER) as usize)?;
        if number & INNER != 0 {
            info.spec = info.spec.inner?.spec();
            info.frozen = None;
        }
        // What a lookup shows of a device map is the entry itself, so that no program may write it.
        if matches!(info.spec.kind, MapType::Devmap | MapType::DevmapHash) {
            info.spec.flags |= BPF_F_RDONLY_PROG;
        }
        Some(info)
    }

    /// Whether a helper's number is that of a tail call.
    pub(crate) fn is_tail_call(&self, id: u32) -> bool {
        let row = self.helpers.row_of(id).and_then(|r| self.helpers.get(r));
        row.is_some_and(|h| h.proto.ret == RetType::TailCall)
    }

    /// What the shape of a program depends on in a helper. A tail call goes on in a program that may change the packet.
    pub(crate) fn traits(&self, id: u32) -> CallTraits {
        let row = self.helpers.row_of(id).and_then(|r| self.helpers.get(r));
        row.map_or(CallTraits::default(), |h| CallTraits {
            changes_packet: h.proto.changes_packet || h.proto.ret == RetType::TailCall,
            loops: match (h.proto.callback, h.proto.ret) {
                (Some(Callback::Timer), _) => None,
                (Some(_), _) => Some(Bounded::Callback),
                (None, RetType::IterNumOrNull) => Some(Bounded::Iterator),
                (None, _) => None,
            },
        })
    }
}
