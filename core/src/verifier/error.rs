//! Why a program is refused, in the kernel's words, and what a refusal carries.

use super::tnum::Tnum;
use super::trail::Trail;
use crate::error::{Errno, Status};
use crate::helpers::kernel_only;
use crate::isa::{InsnError, helper_name};
use crate::mem::{Box, OutOfMemory};
use core::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident $({ $($field:ident: $ty:ty),* })? = $errno:ident, $text:literal $(, $arg:expr)*;)*) => {
        /// What is wrong with a program. The text is the kernel's where the kernel has one.
        #[expect(missing_docs, reason = "the fields are the values that the message shows")]
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum VerifierError {
            /// A word that is no instruction.
            Insn(InsnError),
            $($(#[doc = $doc])+ $name $({ $($field: $ty),* })?),*
        }

        impl fmt::Display for VerifierError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    VerifierError::Insn(e) => e.fmt(f),
                    $(VerifierError::$name $({ $($field),* })? => write!(f, $text $(, $arg)*)),*
                }
            }
        }

        impl Status for VerifierError {
            fn errno(&self) -> Errno {
                match self {
                    VerifierError::Insn(e) => e.errno(),
                    $(VerifierError::$name { .. } => Errno::$errno),*
                }
            }
        }
    };
}

reasons! {
    // Shape.
    /// There is nothing to run.
    NoInsns = EINVAL, "the program has no instructions";
    /// More functions than a program may have.
    TooManySubprogs = E2BIG, "too many subprograms";
    /// The loader's table of functions does not tile the program.
    BadFunctionTable = EINVAL, "func_info does not match the instructions";
    /// A jump leaves its function.
    JumpOutOfRange { from: u32, to: u32 } = EINVAL, "jump out of range from insn {from} to {to}";
    /// A jump goes into the second slot of a wide immediate.
    JumpIntoWide { to: u32 } = EINVAL, "jump into the middle of ldimm64 insn {to}";
    /// What is called does not start a function.
    NotAFunction { to: u32 } = EINVAL, "no program starts at insn {to}";
    /// The last instruction of a function lets control go on.
    RunsOffEnd = EINVAL, "last insn is not an exit or jmp";
    /// Nothing leads to an instruction.
    Unreachable { pc: u32 } = EINVAL, "unreachable insn {pc}";
    /// `BPF_LD_ABS`, `BPF_LD_IND`.
    LegacyPacket = EINVAL, "BPF_LD_[ABS|IND] instructions not allowed for this program type";
    /// `callx`.
    CallReg = EINVAL, "unknown opcode 8d";
    /// A kernel function.
    Kfunc { id: i32 } = EOPNOTSUPP, "{}", NoKfunc(id);
    /// A helper of which only the prototype is known.
    HelperMissing { name: &'static str, id: u32 } = EOPNOTSUPP, "helper {name}#{id} is not provided in this version";
    /// Division by a constant.
    DivByZero = EINVAL, "div by zero";
    /// Shift by a constant.
    InvalidShift { by: i32 } = EINVAL, "invalid shift {by}";

    // Registers.
    /// Not written before.
    NotReadable { reg: u8 } = EACCES, "R{reg} !read_ok";
    /// R10 is written.
    FramePointerReadOnly = EACCES, "frame pointer is read only";

    // Maps and wide immediates.
    /// A map that the program does not have.
    NoSuchMap { index: i64 } = EBADF, "fd {index} is not pointing to valid bpf_map";
    /// More than 64.
    TooManyMaps = E2BIG, "The total number of maps per program has reached the limit of 64";
    /// A kind of map whose values have no fixed address.
    NoDirectValue = EINVAL, "no direct value access support for this map type";
    /// A map of maps that does not say what the maps inside are like.
    NoInnerMap = EINVAL, "the map of maps has no inner map to tell what a lookup gives";
    /// Beyond any value.
    DirectValueOffset { off: u32 } = EINVAL, "direct value offset of {off} is not allowed";
    /// Beyond the value.
    DirectValueBounds { value_size: u32, off: u32 } = EINVAL, "invalid access to map value pointer, value_size={value_size} off={off}";
    /// `BPF_PSEUDO_BTF_ID`.
    BtfId = EOPNOTSUPP, "kernel variables are not supported";

    // Memory.
    /// Not a pointer to memory.
    InvalidMem { reg: u8, kind: &'static str } = EACCES, "R{reg} invalid mem access '{kind}'";
    /// One instruction, two kinds of pointers of which one is the context.
    DifferentPointers = EINVAL, "same insn cannot be used with different pointers";
    /// Stack or atomic access.
    Misaligned { kind: &'static str, var: Tnum, reg_off: i32, off: i32, size: u32 } = EACCES,
        "misaligned {kind} access off {}+{reg_off}+{off} size {size}", Shown(var);
    /// Context.
    InvalidCtx { off: i32, size: u32 } = EACCES, "invalid bpf_context access off={off} size={size}";
    /// A pointer that must be used as it was given.
    NegativeOffset { kind: &'static str, reg: u8, off: i32 } = EACCES, "negative offset {kind} ptr R{reg} off={off} disallowed";
    /// As above.
    ModifiedPointer { kind: &'static str, reg: u8, off: i32 } = EACCES, "dereference of modified {kind} ptr R{reg} off={off} disallowed";
    /// As above.
    VariableAccess { kind: &'static str, var: Tnum } = EACCES, "variable {kind} access var_off={var:?} disallowed";
    /// Map flag `BPF_F_RDONLY_PROG`.
    MapWriteForbidden { value_size: u32, off: i64, size: u32 } = EACCES, "write into map forbidden, value_size={value_size} off={off} size={size}";
    /// Map flag `BPF_F_WRONLY_PROG`.
    MapReadForbidden { value_size: u32, off: i64, size: u32 } = EACCES, "read from map forbidden, value_size={value_size} off={off} size={size}";
    /// The variable part may be negative.
    MinNegative { reg: u8 } = EACCES, "R{reg} min value is negative, either use unsigned index or do a if (index >=0) check.";
    /// The variable part has no bound.
    Unbounded { reg: u8 } = EACCES, "R{reg} unbounded memory access, make sure to bounds check any such access";
    /// The lowest address.
    MinOutside { reg: u8 } = EACCES, "R{reg} min value is outside of the allowed memory range";
    /// The highest address.
    MaxOutside { reg: u8 } = EACCES, "R{reg} max value is outside of the allowed memory range";
    /// A known offset.
    MapBounds { value_size: u32, off: i64, size: u32 } = EACCES, "invalid access to map value, value_size={value_size} off={off} size={size}";
    /// As above.
    MemBounds { mem_size: u32, off: i64, size: u32 } = EACCES, "invalid access to memory, mem_size={mem_size} off={off} size={size}";
    /// Beyond what was compared with the packet's end.
    PacketBounds { off: i64, size: u32, reg: u8, id: u32, range: i32 } = EACCES,
        "invalid access to packet, off={off} size={size}, R{reg}(id={id},off={off},r={range}): R{reg} offset is outside of the packet";
    /// Known to be beyond the packet's end.
    PacketOutside { reg: u8 } = EACCES, "R{reg} offset is outside of the packet";
    /// Variable offset without bounds.
    StackUnbounded { what: &'static str, reg: u8 } = EACCES, "invalid unbounded variable-offset{what} stack R{reg}";
    /// Known offset.
    StackBounds { what: &'static str, reg: u8, off: i64, size: u32 } = EACCES, "invalid{what} stack R{reg} off={off} size={size}";
    /// Variable offset.
    StackVarBounds { what: &'static str, reg: u8, var: Tnum, off: i64, size: u32 } = EACCES,
        "invalid variable-offset{what} stack R{reg} var_off={var:?} off={off} size={size}";
    /// A key, as a callback got it.
    KeyWrite { reg: u8 } = EACCES, "write to change key R{reg} not allowed";
    /// A known offset.
    KeyBounds { key_size: u32, off: i64, size: u32 } = EACCES, "invalid access to map key, key_size={key_size} off={off} size={size}";
    /// Memory that is only read.
    ReadOnlyMem { reg: u8, kind: &'static str } = EACCES, "R{reg} cannot write into {kind}";
    /// Part of a pointer is read.
    InvalidFill = EACCES, "invalid size of register fill";
    /// Part of a pointer is written.
    InvalidSpill = EACCES, "invalid size of register spill";
    /// A callee's stack ends before its caller's.
    StackPointerToCaller = EINVAL, "cannot spill pointers to stack into stack frame of the caller";
    /// Atomics on memory that has none.
    AtomicKind { reg: u8, kind: &'static str } = EACCES, "BPF_ATOMIC stores into R{reg} {kind} is not allowed";
    /// As above, for a load.
    AtomicLoad { reg: u8, kind: &'static str } = EACCES, "BPF_ATOMIC loads from R{reg} {kind} is not allowed";

    // Arithmetic on pointers.
    /// 32-bit.
    Pointer32 { reg: u8 } = EACCES, "R{reg} 32-bit pointer arithmetic prohibited";
    /// Both are pointers.
    PointerPointer { reg: u8, op: &'static str } = EACCES, "R{reg} pointer {op} pointer prohibited";
    /// May be null.
    NullArithmetic { reg: u8, kind: &'static str } = EACCES, "R{reg} pointer arithmetic on {kind} prohibited, null-check it first";
    /// A kind that has no arithmetic.
    NoArithmetic { reg: u8, kind: &'static str } = EACCES, "R{reg} pointer arithmetic on {kind} prohibited";
    /// Scalar minus pointer.
    SubFromScalar { reg: u8 } = EACCES, "R{reg} tried to subtract pointer from scalar";
    /// Stack pointer minus scalar.
    StackSub { reg: u8 } = EACCES, "R{reg} subtraction from stack pointer prohibited";
    /// And, or, xor.
    PointerBitwise { reg: u8, op: &'static str } = EACCES, "R{reg} bitwise operator {op} on pointer prohibited";
    /// Everything else.
    PointerOp { reg: u8, op: &'static str } = EACCES, "R{reg} pointer arithmetic with {op} operator prohibited";
    /// A constant beyond 2^29.
    PointerConst { kind: &'static str, value: i64 } = EACCES, "math between {kind} pointer and {value} is not allowed";
    /// The constant part beyond 2^29.
    PointerOff { kind: &'static str, off: i64 } = EACCES, "{kind} pointer offset {off} is not allowed";
    /// Without a lower bound.
    PointerUnbounded { kind: &'static str } = EACCES, "math between {kind} pointer and register with unbounded min value is not allowed";
    /// A lower bound beyond 2^29.
    PointerOutOfBounds { kind: &'static str, value: i64 } = EACCES, "value {value} makes {kind} pointer be out of bounds";

    // Calls.
    /// CO-RE found nothing that fits, and the instruction is reached: the log says what it looked for.
    CoreUnresolved = EINVAL, "<invalid CO-RE relocation>";
    /// A weak kernel function is called that is not there.
    KfuncUnresolved = EINVAL, "<invalid kfunc call>";
    /// A number that is no helper here.
    NoSuchHelper { id: u32 } = EINVAL, "{}", NoHelper(id);
    /// The argument is of another kind.
    ArgType { reg: u8, kind: &'static str, expected: &'static str } = EACCES, "R{reg} type={kind} expected={expected}";
    /// A tail call through another type of map.
    NotProgArray = EINVAL, "expected prog array map for tail call";
    /// The map is of another type.
    MapType { kind: u32, helper: &'static str, id: u32 } = EINVAL, "cannot pass map_type {kind} into func {helper}#{id}";
    /// The prototype names a key or value without a map before it.
    NoMapArg = EACCES, "invalid map_ptr to access map->key";
    /// Size without a lower bound.
    SizeNegative { reg: u8 } = EACCES, "R{reg} min value is negative, either use unsigned or 'var &= const'";
    /// Size may be zero.
    SizeZero { reg: u8, min: u64, max: u64 } = EACCES, "R{reg} invalid zero-sized read: u64=[{min},{max}]";
    /// Size without an upper bound.
    SizeUnbounded { reg: u8 } = EACCES, "R{reg} unbounded memory access, use 'var &= const' or 'if (var < const)'";
    /// A helper that may not touch the packet itself.
    HelperPacket = EACCES, "helper access to the packet is not allowed";
    /// Not constant text.
    NotConstStr { reg: u8 } = EACCES, "R{reg} does not point to a readonly map'";
    /// What `bpf_snprintf` is given is no format, or has more conversions than arguments.
    InvalidFormat = EINVAL, "Invalid format string";
    /// The arguments of a format are words.
    FormatArguments { size: u64 } = EINVAL, "the arguments of the format take {size} bytes, which is no multiple of 8";

    // What is held.
    /// The path ends with something held.
    Unreleased { id: u32, pc: u32 } = EINVAL, "Unreleased reference id={id} alloc_insn={pc}";
    /// What is given back was taken by nobody, or given back before.
    NotReferenced { reg: u8 } = EINVAL, "R{reg} must be referenced when passed to release function";
    /// As above, found by its id.
    NotHeld { name: &'static str, id: u32 } = EINVAL, "func {name}#{id} reference has not been acquired before";
    /// Something was added to what is given back.
    ReleaseOffset { reg: u8 } = EINVAL, "R{reg} must have zero offset when passed to release func or trusted arg to kfunc";
    /// Any call but the unlocking.
    CallInLock = EINVAL, "function calls are not allowed while holding a lock";
    /// As above, of a global function.
    GlobalCallInLock = EINVAL, "global function calls are not allowed while holding a lock, use static function instead";
    /// The program ends or goes on in another.
    InLock { what: &'static str } = EINVAL, "{what} cannot be used inside bpf_spin_lock-ed region";
    /// A second lock.
    TwoLocks = EINVAL, "Locking two bpf_spin_locks are not allowed";
    /// No lock is held.
    NotLocked = EINVAL, "bpf_spin_unlock without taking a lock";
    /// Another lock is held.
    OtherLock = EINVAL, "bpf_spin_unlock of different lock";

    // Special fields of map values.
    /// Plain access.
    FieldAccess { name: &'static str } = EACCES, "{name} cannot be accessed directly by load/store";
    /// Variable offset.
    FieldVariable { reg: u8, name: &'static str } = EINVAL, "R{reg} doesn't have constant offset. {name} has to be at the constant offset";
    /// The value type has none.
    NoField { name: &'static str } = EINVAL, "map has no valid {name}";
    /// The pointer stands elsewhere.
    FieldOffset { off: i64, name: &'static str, at: u32 } = EINVAL, "off {off} doesn't point to 'struct {name}' that is at {at}";
    /// The timer of another map.
    TimerMap { timer: u32, map: u32 } = EINVAL, "timer pointer in R1 map_uid={timer} doesn't match map pointer in R2 map_uid={map}";

    // What the modes refuse.
    /// A pointer goes where others read it.
    PointerLeak { reg: u8, into: &'static str } = EACCES, "R{reg} leaks addr into {into}";
    /// A part of a spilled pointer would stay.
    CorruptSpill = EACCES, "attempt to corrupt spilled pointer on stack";
    /// A half of a pointer.
    PartialCopy { reg: u8 } = EACCES, "R{reg} partial copy of pointer";
    /// An operation that makes a number of it.
    PointerAsNumber { reg: u8 } = EACCES, "R{reg} pointer arithmetic prohibited";
    /// A comparison that tells something of an address.
    PointerComparison { reg: u8 } = EACCES, "R{reg} pointer comparison prohibited";
    /// The program returns it.
    ReturnsPointer = EACCES, "R0 leaks addr as return value";

    // Callbacks.
    /// Not a static function.
    CallbackNotStatic = EINVAL, "callback function not static";
    /// The result is no number.
    CallbackResult = EACCES, "R0 not a scalar value";
    /// The result may be another number than the caller of the callback takes.
    ResultOutside { when: &'static str, smin: i64, smax: i64, max: i32 } = EINVAL,
        "{when} the register R0 has {} should have been in [0, {max}]", Between(smin, smax);
    /// The other program would end in the middle of the helper's work.
    CallbackTailCall = EINVAL, "tail calls are not allowed in a callback";
    /// A kind of map that cannot be walked over.
    NoWalk = EINVAL, "callback function not allowed for map";

    // Things on the stack that only helpers touch.
    /// Elsewhere.
    ObjectNotOnStack { what: &'static str } = EINVAL, "{what} has to be on the stack";
    /// Variable offset.
    ObjectVariable { what: &'static str } = EINVAL, "{what} has to be at a constant offset";
    /// Not aligned, or not inside.
    ObjectOffset { what: &'static str, off: i64 } = EINVAL, "cannot pass in {what} at an offset={off}";
    /// Read as bytes.
    ObjectFill { off: i64, i: i64, size: u32 } = EACCES, "invalid read from stack off {off}+{i} size {size}";
    /// Read as bytes by a helper.
    ObjectRead { reg: u8, off: i64, i: i64, size: u32 } = EACCES, "invalid read from stack R{reg} off {off}+{i} size {size}";
    /// Written by a helper.
    ObjectWrite { off: i64 } = EACCES, "potential write to dynptr at off={off} disallowed";
    /// One is there, or it cannot be made there.
    DynptrNotFree = EINVAL, "Dynptr has to be an uninitialized dynptr";
    /// Memory that no dynamic pointer is made of.
    DynptrSource { kind: &'static str } = EACCES, "Unsupported reg type {kind} for bpf_dynptr_from_mem data";
    /// None is there.
    DynptrNotReady { arg: u8 } = EINVAL, "Expected an initialized dynptr as arg #{arg}";
    /// A callback's.
    DynptrConst = EINVAL, "cannot pass pointer to const bpf_dynptr, the helper mutates it";
    /// A callback's, given back.
    DynptrNotOwned = EINVAL, "cannot release unowned const bpf_dynptr";
    /// Not of a reservation.
    DynptrNotAcquired { arg: u8 } = EINVAL, "arg {arg} is an unacquired reference";
    /// Overwritten before it was given back.
    DynptrReferenced = EINVAL, "cannot overwrite referenced dynptr";
    /// Elsewhere.
    IterNotOnStack { arg: u8 } = EINVAL, "arg#{arg} expected pointer to an iterator on stack";
    /// One is there.
    IterNotFree { arg: u8 } = EINVAL, "expected uninitialized iter_num as arg #{arg}";
    /// None is there.
    IterNotReady { arg: u8 } = EINVAL, "expected an initialized iter_num as arg #{arg}";
    /// A size that must be known.
    SizeNotConst { reg: u8 } = EACCES, "R{reg} is not a known constant'";
    /// The ninth frame.
    TooManyFrames { frames: usize } = E2BIG, "the call stack of {frames} frames is too deep";
    /// More than 512 bytes in a chain.
    StackTooLarge { calls: usize, depth: u32 } = EACCES, "combined stack size of {calls} calls is {depth}. Too large";
    /// More than 256 bytes above a subprogram that tail-calls.
    TailCallStack { depth: u32 } = EACCES, "tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large";
    /// Functions call each other in a circle.
    Recursion = EINVAL, "the call stack of 8 frames is too deep !: a function calls itself";
    /// A callee's stack is gone when it returns.
    ReturnsStack = EINVAL, "cannot return stack pointer to the caller";
    /// A global function takes no null there.
    NullArg { reg: u8 } = EINVAL, "arg#{} is expected to be non-NULL", reg - 1;
    /// Argument of a global function.
    NotScalarArg { reg: u8 } = EINVAL, "R{reg} is not a scalar";
    /// No BTF, or a type that cannot be checked.
    BadSignature { arg: u8 } = EINVAL, "Arg#{arg} of a global function has a type that is not supported";
    /// No BTF at all.
    NoSignature = EINVAL, "a global function has no usable BTF";
    /// Void.
    NotScalarReturn = EINVAL, "Global function doesn't return scalar. Only those are supported.";
    /// A global function returned a pointer.
    GlobalReturn { kind: &'static str } = EINVAL, "At subprogram exit the register R0 is not a scalar value ({kind})";

    // Limits.
    /// The budget.
    TooManyInsns { limit: u32 } = E2BIG, "BPF program is too large. Processed {} insn", u64::from(limit) + 1;
    /// Branches that wait.
    TooManyBranches = E2BIG, "The sequence of 8193 jumps is too complex.";
    /// The path came back to a state that it had before.
    InfiniteLoop { pc: u32 } = EINVAL, "infinite loop detected at insn {pc}";
    /// Memory of the verifier: the limit, or the heap.
    OutOfMemory = ENOMEM, "the verifier ran out of memory";
    /// A bug of ours, never of the program.
    Internal { what: &'static str } = EFAULT, "verifier bug: {what}";
}

/// Bits as the kernel writes them: a known number alone.
struct Shown(Tnum);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.is_const(), self.0.value()) {
            (true, 0) => f.write_str("0"),
            (true, v) => write!(f, "{v:#x}"),
            (false, _) => write!(f, "{:?}", self.0),
        }
    }
}

/// Why there is nothing that is only in the kernel.
const KERNEL_ONLY: &str = "is not provided: it needs objects of the kernel, which exist only there";

/// Why a helper cannot be called, by its name where Linux has one of that number.
struct NoHelper(u32);

impl fmt::Display for NoHelper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        if let Some(name) = kernel_only(id) {
            return write!(f, "helper {name}#{id} {KERNEL_ONLY}");
        }
        match helper_name(id).or((id == 0).then_some("unspec")) {
            Some(name) => write!(
                f,
                "program of this type cannot use helper bpf_{name}#{id}, or this version does not have it"
            ),
            None => {
                write!(f, "invalid func unknown#{id}, neither Linux nor the host has a helper of that number")
            }
        }
    }
}

/// Why a kernel function cannot be called. One that is not known has no name here, its object knows it.
struct NoKfunc(i32);

impl fmt::Display for NoKfunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match kernel_only(self.0 as u32) {
            Some(name) => write!(f, "kernel function {name} {KERNEL_ONLY}"),
            None => write!(f, "calling kernel function #{} is not supported in this version", self.0),
        }
    }
}

/// Signed bounds as the kernel writes them: those that say something.
struct Between(i64, i64);

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (i64::MIN, i64::MAX) => f.write_str("unknown scalar value"),
            (i64::MIN, smax) => write!(f, "smax={smax}"),
            (smin, i64::MAX) => write!(f, "smin={smin}"),
            (smin, smax) => write!(f, "smin={smin} smax={smax}"),
        }
    }
}

impl From<OutOfMemory> for VerifierError {
    fn from(_: OutOfMemory) -> Self {
        VerifierError::OutOfMemory
    }
}

impl core::error::Error for VerifierError {}

/// A refusal: why, where, and how the path came there.
#[derive(Debug, PartialEq)]
pub struct Rejection {
    /// Why.
    pub error: VerifierError,
    /// At which slot; `None` where it is the program as a whole.
    pub pc: Option<u32>,
    /// What had been spent by then.
    pub stats: crate::program::VerifierStats,
    /// The path, and what was known at its end; none where no path was refused.
    pub trail: Option<Box<Trail>>,
}

impl Rejection {
    /// The check that would prove what was refused, where one can.
    pub fn remedy(&self) -> Option<super::remedy::Remedy> {
        super::remedy::of(&self.error, self.trail())
    }

    /// The path, and what was known at its end; empty where there is none.
    pub fn trail(&self) -> &Trail {
        const NONE: &Trail = &Trail::none();
        self.trail.as_deref().unwrap_or(NONE)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl core::error::Error for Rejection {}

impl Status for Rejection {
    fn errno(&self) -> Errno {
        self.error.errno()
    }
}

/// A reason with its place, before the costs are added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reject {
    pub(crate) error: VerifierError,
    pub(crate) pc: Option<u32>,
}

impl Reject {
    /// At an instruction.
    pub(crate) fn at(pc: u32, error: VerifierError) -> Self {
        Reject { error, pc: Some(pc) }
    }

    /// Of the program as a whole.
    pub(crate) fn program(error: VerifierError) -> Self {
        Reject { error, pc: None }
    }
}

impl From<OutOfMemory> for Reject {
    fn from(_: OutOfMemory) -> Self {
        Reject::program(VerifierError::OutOfMemory)
    }
}
