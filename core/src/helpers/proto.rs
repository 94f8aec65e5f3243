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
    /// It reads, then writes: both hold.
    Modify,
}

/// What kinds of dynamic pointers a helper takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynptrUse {
    /// An unused place on the stack, where the helper makes one of that kind.
    New(DynptrKind),
    /// An initialised one that is only read.
    Read,
    /// An initialised one.
    Modify,
    /// One of a ring buffer's reservation, which ends with the call.
    Release,
    /// An unused place on the stack, where the helper makes one of the kind that its first argument has.
    Clone,
}

/// What a dynamic pointer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynptrKind {
    /// Memory of the program.
    Local,
    /// A reservation in a ring buffer.
    Ringbuf,
    /// The packet.
    Xdp,
}

/// What an open-coded iterator's function does with the iterator on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IterUse {
    /// Makes one in an unused place.
    New,
    /// Steps it.
    Next,
    /// Ends it.
    Destroy,
}

/// An object of the host that a program holds by an opaque pointer, and must give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// `struct bpf_sock`: a socket of any state.
    SockCommon,
    /// A connection or listener (`struct bpf_sock`).
    Sock,
    /// A connection-tracking entry (`struct nf_conn`).
    Conn,
    /// One that is being made (`struct nf_conn___init`).
    NewConn,
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
    /// A number (of a kernel function).
    Scalar,
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
        /// Whether it must be aligned to its size.
        aligned: bool,
    },
    /// The size of the memory argument before it, not zero (`ARG_CONST_SIZE`).
    ConstSize,
    /// The size of the memory argument before it, zero allowed (`ARG_CONST_SIZE_OR_ZERO`).
    ConstSizeOrZero,
    /// A constant size of the memory that the call returns (`ARG_CONST_ALLOC_SIZE_OR_ZERO`).
    AllocSize,
    /// The constant size of the memory argument before it, which may be null whatever the size, and of the memory that the call returns (`__szk`).
    SliceSize,
    /// A constant, NUL-terminated text in a read-only map (`ARG_PTR_TO_CONST_STR`).
    ConstStr,
    /// A function of the program (`ARG_PTR_TO_FUNC`).
    Func,
    /// Memory on the stack, or null (`ARG_PTR_TO_STACK` or null): a callback's context.
    StackOrNull,
    /// A ring buffer's record, given back by the call (`ARG_PTR_TO_RINGBUF_MEM | OBJ_RELEASE`).
    RingbufMem,
    /// The lock field of a map value (`ARG_PTR_TO_SPIN_LOCK`).
    SpinLock(Lock),
    /// The timer field of a map value (`ARG_PTR_TO_TIMER`).
    Timer,
    /// A dynamic pointer on the stack (`ARG_PTR_TO_DYNPTR`).
    Dynptr(DynptrUse),
    /// An iterator over numbers on the stack (`struct bpf_iter_num`).
    IterNum(IterUse),
    /// An object of the host, not null; released where it says so.
    Handle {
        /// What it is.
        handle: Handle,
        /// Whether the call takes it away.
        release: bool,
    },
}

/// What a lock function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Takes it.
    Take,
    /// Gives it back.
    Give,
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
    /// A ring buffer's record of the size that [`ArgType::AllocSize`] gives, or null: to be submitted or discarded.
    RingbufMemOrNull,
    /// Memory of a dynamic pointer, of the size that [`ArgType::AllocSize`] gives, or null.
    DynptrMemOrNull {
        /// Whether it may be written.
        writable: bool,
    },
    /// The iterator's number, or null at the end.
    IterNumOrNull,
    /// An object of the host, or null: to be released.
    HandleOrNull(Handle),
    /// A packet's route decision or the like: a scalar within these bounds.
    Within(i32, i32),
    /// A CPU's number, below [`VerifyOptions::nr_cpus`](crate::verifier::VerifyOptions::nr_cpus).
    Cpu,
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
    /// How a function argument is called.
    pub callback: Option<Callback>,
}

/// What a callback gets, and when it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callback {
    /// `bpf_loop`: (index, context).
    Loop,
    /// `bpf_for_each_map_elem`: (map, key, value, context).
    ForEach,
    /// `bpf_timer_set_callback`: (map, key, value), after the program has ended.
    Timer,
    /// `bpf_user_ringbuf_drain`: (dynamic pointer, context).
    Drain,
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
        Proto { args: all, ret, changes_packet: false, takes_packet: false, maps: &[], callback: None }
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

    /// The same, for a helper that calls a function of the program.
    pub const fn calling(self, callback: Callback) -> Proto {
        Proto { callback: Some(callback), ..self }
    }
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Helper {
    /// Its number (`enum bpf_func_id`); a kernel function's is [`KFUNC_BASE`] and more.
    pub id: u32,
    /// Its name with prefix, for example `bpf_map_lookup_elem`.
    pub name: &'static str,
    /// What the verifier proves.
    pub proto: Proto,
    /// What engines call. `None`: the prototype is known, so that a program can be judged, but nothing provides the helper here, so that no program with
    /// it can be loaded.
    pub func: Option<HelperFn>,
}

/// The numbers of kernel functions begin here: they have none of their own, programs call them by name.
pub const KFUNC_BASE: u32 = 1 << 16;

/// What programs of this type may call in Linux and what cannot be here: it takes or gives objects of the kernel, which exist only there. A kernel
/// function's number is that under which it is refused.
const KERNEL_ONLY: [(u32, &str); 4] = [
    (153, "bpf_per_cpu_ptr"),
    (154, "bpf_this_cpu_ptr"),
    (194, "bpf_kptr_xchg"),
    (KFUNC_BASE + 255, "bpf_rdonly_cast"),
];

/// The name of a helper or kernel function that needs objects of the kernel.
pub fn kernel_only(id: u32) -> Option<&'static str> {
    KERNEL_ONLY.iter().find(|row| row.0 == id).map(|row| row.1)
}

/// The number under which a kernel function that needs objects of the kernel is refused.
pub(crate) fn kernel_only_kfunc(name: &str) -> Option<u32> {
    KERNEL_ONLY.iter().find(|row| row.0 >= KFUNC_BASE && row.1 == name).map(|row| row.0)
}

/// The numbers of a host's own helpers begin here and end below [`KFUNC_BASE`].
pub const HOST_FIRST: u32 = 1 << 15;

impl Helper {
    /// Whether it is a kernel function, called by name.
    pub const fn is_kfunc(&self) -> bool {
        self.id >= KFUNC_BASE
    }

    /// Whether a call may end the run: what it calls back may, or it waits for a lock, which is not for ever. Engines look at the context after such a call.
    pub const fn ends_runs(&self) -> bool {
        self.calls_back() || matches!(self.proto.args[0], ArgType::SpinLock(Lock::Take))
    }

    /// Whether it calls a function of the program before it returns.
    pub const fn calls_back(&self) -> bool {
        matches!(self.proto.callback, Some(Callback::Loop | Callback::ForEach | Callback::Drain))
    }

    /// A row of which only the prototype is known.
    pub const fn known(id: u32, name: &'static str, proto: Proto) -> Helper {
        Helper { id, name, proto, func: None }
    }
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

    /// The number of a kernel function.
    pub fn kfunc(&self, name: &str) -> Option<u32> {
        self.rows.iter().find(|h| h.is_kfunc() && h.name == name).map(|h| h.id)
    }

    /// The number that a program which declares a function of this name calls: a kernel function's, or a helper's of the host. Helpers of the
    /// kernel are called by number only.
    pub fn named(&self, name: &str) -> Option<u32> {
        let own = |h: &&Helper| h.name == name && (HOST_FIRST..KFUNC_BASE).contains(&h.id);
        self.kfunc(name).or_else(|| self.rows.iter().find(own).map(|h| h.id))
    }

    /// All rows.
    pub const fn rows(&self) -> &'static [Helper] {
        self.rows
    }
}
