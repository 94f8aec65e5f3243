//! A program and its way: `Program<Loaded>` → `Program<Verified>` → (compiled or interpreted).
//!
//! The type is the contract: only the verifier makes a `Program<Verified>`, and engines take nothing else. What the engines must apply
//! ([`Rewrites`]) and what they may use ([`Facts`]) travel with it, indexed by pc.
//!
//! A loaded program is linked: its main function first, every function it reaches behind it, branches and calls relative, maps named by their
//! index in the list of the object they come from. Nothing about it is trusted yet except that its tables are within bounds.

use crate::isa::Insn;
use crate::maps::Map;
use crate::mem::{OutOfMemory, String, Vec};
use crate::sync::Arc;

/// What every stage of a program has.
#[derive(Debug, Default)]
pub struct Code {
    /// The main function's name.
    pub name: String,
    /// The section it stands in, for example `xdp`.
    pub section: String,
    /// Slots; a wide instruction takes two. Map references are `BPF_PSEUDO_MAP_IDX` and `BPF_PSEUDO_MAP_IDX_VALUE` with an index into
    /// the object's list of maps; calls of functions are `BPF_PSEUDO_CALL`, relative; addresses of functions `BPF_PSEUDO_FUNC`, relative.
    pub insns: Vec<Insn>,
    /// The functions in order of their start; the first is the main one, at pc 0.
    pub subprogs: Vec<Subprog>,
    /// Where instructions come from, sorted by pc; empty without BTF.
    pub lines: Vec<Line>,
    /// Texts that `lines` refers to.
    pub strings: Vec<String>,
    /// Instructions that stand for something that is not there, sorted by pc.
    pub unresolved: Vec<Unresolved>,
    /// Whether the section says that it takes multi-buffer packets (`xdp.frags`).
    pub frags: bool,
    /// What the section says of where it attaches; `egress_ifindex` is for devmap programs alone.
    pub attach: AttachType,
    /// How it wants to run beside other programs.
    pub run: RunConfig,
}

/// How a program runs beside others at one hook: libxdp's `XDP_RUN_CONFIG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunConfig {
    /// Lower ones run first.
    pub priority: u32,
    /// Bit n: after action n the next program runs.
    pub chain_call_actions: u32,
}

impl Default for RunConfig {
    /// libxdp's: priority 50, and the next program runs after XDP_PASS.
    fn default() -> Self {
        RunConfig { priority: 50, chain_call_actions: 1 << 2 }
    }
}

/// The helper that a call stands for where CO-RE found nothing that fits: a number that no kernel has, libbpf's.
pub const POISON_CORE: i32 = 0xbad_2310;
/// The first of the helpers that calls of missing weak kernel functions stand for, libbpf's.
pub const POISON_KFUNC: i32 = 2_002_000_000;

/// An instruction that stands for something that is not there: a call of a helper that no kernel has. A program is refused only where it can get
/// there.
#[derive(Debug)]
pub struct Unresolved {
    /// Its slot.
    pub pc: u32,
    /// What is missing, in libbpf's words.
    pub why: String,
}

/// Where a program expects to be attached (`xdp`, `xdp/devmap`, `xdp/cpumap`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachType {
    /// At a port.
    #[default]
    Xdp,
    /// At an entry of a devmap.
    XdpDevmap,
    /// At an entry of a cpumap.
    XdpCpumap,
}

/// One function of a program.
#[derive(Debug, Default)]
pub struct Subprog {
    /// Its name in the object.
    pub name: String,
    /// First slot.
    pub start: u32,
    /// One beyond the last slot.
    pub end: u32,
    /// Whether it is verified alone, against its BTF, rather than at each call.
    pub global: bool,
    /// For a global function: what its BTF says of each argument; `None` where there is no usable BTF.
    pub signature: Option<Signature>,
}

/// Argument and return types of a global function, as its BTF gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Arguments in order; those beyond the last are `None`.
    pub args: [Option<ArgKind>; 5],
    /// Whether it returns a scalar (else void).
    pub returns_scalar: bool,
}

/// An argument of a global function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Any scalar.
    Scalar,
    /// `struct xdp_md *`.
    Ctx,
    /// A pointer, possibly null, to memory of that many bytes.
    MemOrNull {
        /// Bytes behind the pointer.
        size: u32,
    },
    /// A pointer to memory of that many bytes (`__arg_nonnull`).
    Mem {
        /// Bytes behind the pointer.
        size: u32,
    },
    /// `struct bpf_dynptr *`, an initialised one that the function does not change.
    Dynptr,
    /// Something that the verifier does not take.
    Unsupported,
}

/// A source line: applies from `pc` up to the next entry's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// First slot.
    pub pc: u32,
    /// Index of the file's name in [`Code::strings`].
    pub file: u32,
    /// Index of the line's text in [`Code::strings`].
    pub text: u32,
    /// Line number, from 1.
    pub line: u32,
    /// Column, from 1; 0 where unknown.
    pub column: u32,
}

impl Code {
    /// The source line that an instruction comes from.
    pub fn line_at(&self, pc: u32) -> Option<&Line> {
        let after = self.lines.partition_point(|l| l.pc <= pc);
        self.lines.get(after.checked_sub(1)?)
    }

    /// The text of a line or the name of a file.
    pub fn string(&self, index: u32) -> &str {
        self.strings.get(index as usize).map_or("", |s| s.as_str())
    }

    /// What is missing where an instruction stands for something that is not there.
    pub fn unresolved_at(&self, pc: u32) -> Option<&str> {
        let found = self.unresolved.binary_search_by_key(&pc, |u| u.pc).ok()?;
        self.unresolved.get(found).map(|u| u.why.as_str())
    }

    /// The function that holds a slot.
    pub fn subprog_at(&self, pc: u32) -> Option<usize> {
        self.subprogs.partition_point(|s| s.start <= pc).checked_sub(1)
    }
}

/// Linked, not yet proven: what an object yields.
#[derive(Debug, Default)]
pub struct Loaded(());

/// Proven safe against the very maps that it holds.
#[derive(Debug)]
pub struct Verified {
    maps: Vec<Arc<Map>>,
    rewrites: Rewrites,
    facts: Facts,
    stats: VerifierStats,
    nr_cpus: u32,
    limit: Option<Limit>,
}

/// How much a run may do.
#[derive(Debug)]
pub(crate) struct Limit {
    /// Instructions, as `costs` counts them.
    pub(crate) insns: u64,
    /// Nanoseconds; 0: as long as it takes.
    pub(crate) nanos: u64,
    /// One a slot: what reaching it costs.
    pub(crate) costs: Vec<u32>,
}

/// A program at one stage.
#[derive(Debug)]
pub struct Program<S> {
    code: Code,
    stage: S,
}

impl<S> Program<S> {
    /// Its instructions, functions and lines.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// Its main function's name.
    pub fn name(&self) -> &str {
        &self.code.name
    }
}

impl Program<Loaded> {
    /// A linked program; the object loader and tests make it. Nothing is trusted: the verifier checks all of it.
    pub fn new(code: Code) -> Self {
        Program { code, stage: Loaded(()) }
    }

    /// What the verifier alone does with a program that it has proven.
    pub(crate) fn into_verified(
        self,
        maps: Vec<Arc<Map>>,
        rewrites: Rewrites,
        facts: Facts,
        (stats, nr_cpus): (VerifierStats, u32),
    ) -> Program<Verified> {
        Program { code: self.code, stage: Verified { maps, rewrites, facts, stats, nr_cpus, limit: None } }
    }

    /// A program that nobody proved, with rewrites that say what each slot is: for conformance and oracles alone.
    ///
    /// # Safety
    /// Running it is as safe as its instructions are.
    #[cfg(any(test, uxdp_conformance))]
    pub unsafe fn assume_verified(self, maps: Vec<Arc<Map>>, rewrites: Rewrites) -> Program<Verified> {
        self.into_verified(maps, rewrites, Facts::none(), (VerifierStats::default(), 0))
    }
}

impl Program<Verified> {
    /// The maps that it was verified against, in the order of the object's list.
    pub fn maps(&self) -> &[Arc<Map>] {
        &self.stage.maps
    }

    /// What every engine applies.
    pub fn rewrites(&self) -> &Rewrites {
        &self.stage.rewrites
    }

    /// What a compiler may use.
    pub fn facts(&self) -> &Facts {
        &self.stage.facts
    }

    /// How many CPUs it may run on: no CPU has a higher number. 0: any.
    pub fn nr_cpus(&self) -> u32 {
        self.stage.nr_cpus
    }

    /// How much its runs may do, where that is limited.
    pub(crate) fn limit(&self) -> Option<&Limit> {
        self.stage.limit.as_ref()
    }

    pub(crate) fn set_limit(&mut self, limit: Limit) {
        self.stage.limit = Some(limit);
    }

    /// What verification cost.
    pub fn stats(&self) -> &VerifierStats {
        &self.stage.stats
    }
}

/// The counts of the kernel's closing line, and what verification cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifierStats {
    /// Instructions processed, each visit counted.
    pub insns_processed: u32,
    /// Most states kept at one instruction.
    pub max_states_per_insn: u32,
    /// States kept in all.
    pub total_states: u32,
    /// Most states kept at a time.
    pub peak_states: u32,
    /// States at which a path was cut off.
    pub mark_read: u32,
    /// Most bytes that verification held at a time.
    pub peak_memory: usize,
    /// Stack over the deepest call chain, in bytes.
    pub stack_depth: u32,
}

/// What every engine must apply: one entry a slot, and the stack bytes to clear for each function.
#[derive(Debug, Default)]
pub struct Rewrites {
    /// One a slot; the second slot of a wide instruction is `Dead`.
    pub insns: Vec<Rewrite>,
    /// One a function.
    pub frames: Vec<Frame>,
}

/// What a slot means beyond its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewrite {
    /// No path reaches it; it must never execute (engines end the run as aborted there).
    #[default]
    Dead,
    /// As its bits say.
    Plain,
    /// A load from `xdp_md`: read this field of the context instead, whole.
    CtxLoad(CtxField),
    /// A wide immediate: the address of the map with that index in the program's list.
    MapPtr(u32),
    /// A wide immediate: the address of a value in that map's memory.
    MapValue {
        /// Index of the map.
        map: u32,
        /// Bytes from the start of its first value.
        offset: u32,
    },
    /// A wide immediate: the function with that index as a value.
    Func(u32),
    /// A call of a function with that index.
    CallSubprog(u32),
    /// A call of a helper: its row in the helper set, and the map that it works on.
    CallHelper {
        /// Index into the helper set that verified it.
        row: u16,
        /// Which map r1 (or the helper's map argument) is.
        map: MapSel,
    },
}

/// Which map a call works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapSel {
    /// The helper takes no map.
    #[default]
    None,
    /// Always the map with that index.
    Known(u32),
    /// Several, or one that is only known at run time.
    Many,
}

/// The fields of `struct xdp_md` (`include/uapi/linux/bpf.h`), each 4 bytes at 4 times its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CtxField {
    /// First byte of the packet.
    Data = 0,
    /// One beyond its last byte.
    DataEnd = 1,
    /// First byte of the metadata.
    DataMeta = 2,
    /// Where it came in.
    IngressIfindex = 3,
    /// On which queue.
    RxQueueIndex = 4,
    /// Where it goes out; devmap programs only.
    EgressIfindex = 5,
}

impl CtxField {
    /// The field at a byte offset of `xdp_md`.
    pub const fn at(offset: i16) -> Option<CtxField> {
        Some(match offset {
            0 => CtxField::Data,
            4 => CtxField::DataEnd,
            8 => CtxField::DataMeta,
            12 => CtxField::IngressIfindex,
            16 => CtxField::RxQueueIndex,
            20 => CtxField::EgressIfindex,
            _ => return None,
        })
    }

    /// Where the context holds it, in bytes, and whether it is a pointer (8 bytes) or a number (4 bytes).
    pub const fn in_ctx(self) -> (usize, CtxFieldKind) {
        use crate::vm::Ctx;
        use core::mem::offset_of;
        match self {
            CtxField::Data => (offset_of!(Ctx, data), CtxFieldKind::Pointer),
            CtxField::DataEnd => (offset_of!(Ctx, data_end), CtxFieldKind::Pointer),
            CtxField::DataMeta => (offset_of!(Ctx, data_meta), CtxFieldKind::Pointer),
            CtxField::IngressIfindex => (offset_of!(Ctx, ingress_ifindex), CtxFieldKind::U32),
            CtxField::RxQueueIndex => (offset_of!(Ctx, rx_queue_index), CtxFieldKind::U32),
            CtxField::EgressIfindex => (offset_of!(Ctx, egress_ifindex), CtxFieldKind::U32),
        }
    }
}

/// How wide a context field is in our context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtxFieldKind {
    /// 8 bytes.
    Pointer,
    /// 4 bytes, zero-extended.
    U32,
}

/// The stack frame of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes below r10 that the function uses, 0 to 512.
    pub size: u32,
    /// Eight-byte slots that may be read before they are written, and are cleared on entry: bit i is the slot at r10 - 8 * (i + 1).
    pub clear: u64,
}

impl Frame {
    /// The frame of a function of which nothing is known: the whole stack, all of it cleared.
    pub const WHOLE: Frame = Frame { size: crate::limits::MAX_BPF_STACK, clear: u64::MAX };
}

/// What a compiler may use, one entry a slot. Compiling with none gives correct code.
///
/// A fact holds on every path of every run, pruned ones too: it comes only from what pruning compares in full.
#[derive(Debug, Default)]
pub struct Facts {
    insns: Vec<Fact>,
}

impl Facts {
    /// Nothing known.
    pub const fn none() -> Self {
        Facts { insns: Vec::new() }
    }

    /// Nothing known yet of `n` slots.
    pub fn unknown(n: usize) -> Result<Self, OutOfMemory> {
        Ok(Facts { insns: Vec::from_fn(n, |_| Fact::default())? })
    }

    /// What is known at a slot.
    pub fn at(&self, pc: u32) -> Fact {
        self.insns.get(pc as usize).copied().unwrap_or_default()
    }

    /// The place to note what is known at a slot.
    pub fn at_mut(&mut self, pc: u32) -> Option<&mut Fact> {
        self.insns.get_mut(pc as usize)
    }
}

/// What is known at one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// The memory that a load, store or atomic touches.
    pub mem: MemClass,
    /// For a conditional jump: an edge that no run takes.
    pub edge: Edge,
    /// For a map call: the key, where it is a constant on every path (little-endian, keys of up to 8 bytes).
    pub const_key: Option<u64>,
    /// For a map lookup: the result is never null.
    pub non_null: bool,
}

/// Kinds of memory that never overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemClass {
    /// Anything.
    #[default]
    Unknown,
    /// Some frame of the BPF stack.
    Stack,
    /// The context.
    Ctx,
    /// Packet data or metadata.
    Packet,
    /// A value of the map with that index.
    Map(u32),
    /// A value of some map.
    MapAny,
}

/// What is known of a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Edge {
    /// Both edges may be taken.
    #[default]
    Both,
    /// The branch is always taken.
    AlwaysTaken,
    /// The branch is never taken.
    NeverTaken,
}
