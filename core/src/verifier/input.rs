//! What is verified, and against what: the program, its maps, the helpers, the caller's limits.

use crate::helpers::{HelperSet, RetType};
use crate::limits::BPF_COMPLEXITY_LIMIT_INSNS;
use crate::maps::MapSpec;
use crate::program::Code;

/// What the verifier needs to know of a map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapInfo<'a> {
    /// Type, sizes, flags.
    pub(crate) spec: MapSpec,
    /// For messages.
    pub(crate) name: &'a str,
    /// Its content, where neither programs nor anybody else can change it any more.
    pub(crate) frozen: Option<&'a [u8]>,
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
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions { log_level: 0, insn_budget: BPF_COMPLEXITY_LIMIT_INSNS, memory_limit: 256 << 20 }
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
}

impl<'a> Input<'a> {
    /// A map by its place; places come from instructions that were checked.
    pub(crate) fn map(&self, index: u32) -> Option<&'a MapInfo<'a>> {
        self.maps.get(index as usize)
    }

    /// Whether a helper's number is that of a tail call.
    pub(crate) fn is_tail_call(&self, id: u32) -> bool {
        let row = self.helpers.row_of(id).and_then(|r| self.helpers.get(r));
        row.is_some_and(|h| h.proto.ret == RetType::TailCall)
    }

    /// Whether a helper may change the packet: itself, or the program that it goes on with.
    pub(crate) fn changes_packet(&self, id: u32) -> bool {
        let row = self.helpers.row_of(id).and_then(|r| self.helpers.get(r));
        row.is_some_and(|h| h.proto.changes_packet || h.proto.ret == RetType::TailCall)
    }
}
