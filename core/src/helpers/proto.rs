//! Prototypes: what the verifier has to prove of a call, and what it may assume afterwards.

use crate::maps::MapType;
use crate::vm::Ctx;

/// A helper's function: five arguments and the context, the result in r0. The same address serves every engine.
pub type HelperFn = unsafe extern "C" fn(u64, u64, u64, u64, u64, *mut Ctx) -> u64;

/// What a helper does with memory that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads: every byte must be initialised.
    Read,
    /// It writes all of it: bytes need not be initialised before.
    Write,
}

/// What an argument has to be (`enum bpf_arg_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgType {
    /// No such argument; the register is not read.
    DontCare,
    /// Whatever the register holds, uninitialised too: the helper reads it where its other arguments say so (`trace_printk`). Engines pass it;
    /// one that was never written is passed as zero.
    Unchecked,
    /// Any initialised register.
    Anything,
    /// The context (`ARG_PTR_TO_CTX`).
    Ctx,
    /// A map (`ARG_CONST_MAP_PTR`).
    ConstMapPtr,
    /// A key of the call's map, initialised (`ARG_PTR_TO_MAP_KEY`).
    MapKey,
    /// A value of the call's map: read or written (`ARG_PTR_TO_MAP_VALUE`).
    MapValue(Access),
    /// Memory whose size the next argument gives (`ARG_PTR_TO_MEM`).
    Mem {
        /// What is done with it.
        access: Access,
        /// Whether null is allowed (then the size must be 0).
        nullable: bool,
    },
    /// Memory of a fixed size (`ARG_PTR_TO_FIXED_SIZE_MEM`), such as a `long *` out argument.
    FixedMem {
        /// What is done with it.
        access: Access,
        /// Bytes.
        size: u32,
    },
    /// The size of the memory argument before it, not zero (`ARG_CONST_SIZE`).
    ConstSize,
    /// The size of the memory argument before it, zero allowed (`ARG_CONST_SIZE_OR_ZERO`).
    ConstSizeOrZero,
    /// A constant, NUL-terminated text in a read-only map (`ARG_PTR_TO_CONST_STR`).
    ConstStr,
    /// A function of the program (`ARG_PTR_TO_FUNC`).
    Func,
    /// Memory on the stack, or null (`ARG_PTR_TO_STACK_OR_NULL`).
    StackOrNull,
}

/// What a helper returns (`enum bpf_return_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetType {
    /// A scalar of which nothing is known.
    Integer,
    /// Nothing: r0 cannot be read.
    Void,
    /// A value of the call's map, or null.
    MapValueOrNull,
    /// Never returns on success (tail call); on failure r0 cannot be read either, as the kernel's `RET_VOID`.
    TailCall,
}

/// A helper's prototype.
#[derive(Clone, Copy, Debug)]
pub struct Proto {
    /// The arguments r1 to r5.
    pub args: [ArgType; 5],
    /// The result.
    pub ret: RetType,
    /// Whether packet pointers are invalid afterwards.
    pub changes_packet: bool,
    /// Whether memory arguments may be in the packet (the kernel's `pkt_access`).
    pub takes_packet: bool,
    /// The types of map it takes; empty: it takes none or any.
    pub maps: &'static [MapType],
}

impl Proto {
    /// A prototype of these arguments, in order, that leaves the packet alone, takes no pointer into it, and any map or none.
    pub const fn new(args: &[ArgType], ret: RetType) -> Proto {
        let mut all = [ArgType::DontCare; 5];
        let mut i = 0;
        while i < args.len() {
            all[i] = args[i];
            i += 1;
        }
        Proto { args: all, ret, changes_packet: false, takes_packet: false, maps: &[] }
    }

    /// The same, for a helper that moves the packet's ends.
    pub const fn changing_packet(self) -> Proto {
        Proto { changes_packet: true, ..self }
    }

    /// The same, for a helper whose memory arguments may be in the packet.
    pub const fn taking_packet(self) -> Proto {
        Proto { takes_packet: true, ..self }
    }

    /// The same, for maps of these types alone.
    pub const fn on(self, maps: &'static [MapType]) -> Proto {
        Proto { maps, ..self }
    }
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Helper {
    /// Its number (`enum bpf_func_id`).
    pub id: u32,
    /// Its name with prefix, for example `bpf_map_lookup_elem`.
    pub name: &'static str,
    /// What the verifier proves.
    pub proto: Proto,
    /// What engines call.
    pub func: HelperFn,
}

impl core::fmt::Debug for Helper {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}#{}", self.name, self.id)
    }
}

/// The helpers that programs of an environment may call, sorted by number. Row numbers are stable while the environment lives.
#[derive(Clone, Copy, Debug)]
pub struct HelperSet {
    rows: &'static [Helper],
}

impl HelperSet {
    /// A set from rows sorted by number.
    pub const fn new(rows: &'static [Helper]) -> Self {
        HelperSet { rows }
    }

    /// The row of a helper's number.
    pub fn row_of(&self, id: u32) -> Option<u16> {
        self.rows.binary_search_by_key(&id, |h| h.id).ok().map(|i| i as u16)
    }

    /// A row.
    pub fn get(&self, row: u16) -> Option<&'static Helper> {
        self.rows.get(row as usize)
    }

    /// All rows.
    pub const fn rows(&self) -> &'static [Helper] {
        self.rows
    }
}
