//! For each reason of a refusal: what is demanded, and what a person can do.
//!
//! One table, a row a reason; a reason without a row does not compile. Sentences speak C, since that is what people write; the numbers of a case are in
//! the message and in [`super::trail`], the check that fits them in [`super::remedy`].

use super::error::VerifierError;
use crate::helpers::kernel_only;

/// What is demanded, and what to do.
type Row = (&'static str, &'static str);

macro_rules! table {
    ($($name:ident: $demand:literal, $todo:literal;)*) => {
        fn row(error: &VerifierError) -> Row {
            match error {
                $(VerifierError::$name { .. } => ($demand, $todo),)*
            }
        }

        /// The rows, for tests.
        #[cfg(test)]
        pub(crate) const ROWS: &[(&str, Row)] = &[$((stringify!($name), ($demand, $todo))),*];
    };
}

/// For what needs objects of the kernel.
const WITHOUT_KERNEL: &str = "Keep what differs by CPU in a per-CPU map, and objects in maps' values; a userspace packet VM has no kernel to point into.";

impl VerifierError {
    /// What the check demanded, in a sentence.
    pub fn demand(&self) -> &'static str {
        row(self).0
    }

    /// What a person can do, in a sentence.
    pub fn advice(&self) -> &'static str {
        match *self {
            VerifierError::InvalidMem { kind, .. } if kind.ends_with("_or_null") => {
                "Test the pointer for null before it is used, on every path: if (!p) return XDP_PASS;"
            }
            VerifierError::InvalidMem { kind: "scalar", .. } => {
                "Keep the pointer instead of computing it from numbers; after helpers that may move the packet, load ctx->data and ctx->data_end again."
            }
            VerifierError::NoSuchHelper { id } if kernel_only(id).is_some() => WITHOUT_KERNEL,
            VerifierError::Kfunc { id } if kernel_only(id as u32).is_some() => WITHOUT_KERNEL,
            _ => row(self).1,
        }
    }
}

table! {
    Insn: "Every word is an instruction of RFC 9669.",
        "Compile again with clang -target bpf; an object that was cut or edited by hand cannot be loaded.";
    NoInsns: "A program has at least one instruction.",
        "Give the section a function: SEC(\"xdp\") int prog(struct xdp_md *ctx) { return XDP_PASS; }";
    TooManySubprogs: "A program has at most 256 functions.",
        "Mark small functions static __always_inline, or split the program and join the parts by tail calls.";
    BadFunctionTable: "The functions cover the program without gaps.",
        "Compile again with clang; the object's function table does not fit its code.";
    JumpOutOfRange: "A jump stays in its function.",
        "Compile again with clang; in assembly, put the label into the same function.";
    JumpIntoWide: "A jump goes to the start of an instruction.",
        "In assembly, remember that a 64-bit immediate takes two slots.";
    NotAFunction: "A call goes to the start of a function.",
        "Compile again with clang; in assembly, declare the function with .type name,@function.";
    RunsOffEnd: "A function ends with exit or a jump.",
        "Return a value on every path of the function, and do not end it with a call that never returns.";
    Unreachable: "Every instruction can be reached.",
        "Remove the dead code; clang does so at -O2, which BPF programs should be compiled with.";
    LegacyPacket: "An XDP program reads the packet through ctx->data.",
        "Use direct packet access (data, data_end) or bpf_xdp_load_bytes instead of load_byte and its kin.";
    CallReg: "Calls name what they call.",
        "Do not call through function pointers; use a switch, or a tail call.";
    Kfunc: "Only kernel functions that uxdp provides are called.",
        "Use a helper instead, or put the call behind a check of bpf_ksym_exists.";
    CoreUnresolved: "A field or type that the program asks for exists in the types that it was relocated against.",
        "Ask bpf_core_field_exists or bpf_core_type_exists first, or give the BTF of the kernel that the program is for.";
    KfuncUnresolved: "A kernel function that is called exists.",
        "Put the call behind a check of bpf_ksym_exists, so that it is only reached where the function is there.";
    HelperMissing: "Only helpers that uxdp provides are called.",
        "Use another helper, or register the function with the environment under that number.";
    DivByZero: "A constant divisor is not zero.",
        "Correct the divisor; test a variable divisor before the division.";
    InvalidShift: "A constant shift is smaller than the operand's width.",
        "Shift by less than 32 or 64 bits; cast to __u64 before a wide shift.";
    NotReadable: "A register is written on every path before it is read; a call destroys r0 to r5.",
        "Give the variable a value on every path, and read arguments before the first call.";
    FramePointerReadOnly: "r10 is never written.",
        "Copy r10 to another register and change the copy.";
    NoSuchMap: "Every map that is named belongs to the program.",
        "Define the map in the same object, in SEC(\".maps\").";
    TooManyMaps: "A program uses at most 64 maps.",
        "Join maps into one with a larger key or value, or split the program by tail calls.";
    NoDirectValue: "Only values of arrays have a fixed address.",
        "Look the value up with bpf_map_lookup_elem.";
    DirectValueOffset: "An address lies within its global data.",
        "Compile again; the object's relocation points beyond any value.";
    DirectValueBounds: "An address lies within its global data.",
        "Check the index into the global array, or make the array larger.";
    BtfId: "Variables of the kernel are not used.",
        "Do without __ksym variables; a userspace packet VM has no kernel to read.";
    InvalidMem: "Memory is accessed through a pointer that is known to be valid.",
        "Go through a pointer to memory: a map's value, the packet, the stack; the end of the packet, maps and functions are for comparing and passing alone.";
    DifferentPointers: "An instruction goes through the context on all paths, or on none.",
        "Do not choose between ctx and another pointer in one variable; write the access once in each branch.";
    Misaligned: "Accesses to the stack and atomics are aligned to their size.",
        "Align the variable with __attribute__((aligned(8))), or copy it with __builtin_memcpy.";
    InvalidCtx: "Fields of struct xdp_md are read whole, as 32 bits, and never written; egress_ifindex is for programs of a devmap alone.",
        "Read the field as the __u32 that it is; change the packet through ctx->data, its bounds with bpf_xdp_adjust_head and bpf_xdp_adjust_tail.";
    NegativeOffset: "The pointer is used as it was given.",
        "Pass the pointer itself, without anything subtracted.";
    ModifiedPointer: "The pointer is used as it was given.",
        "Pass the pointer itself, without anything added; keep the original in a variable of its own.";
    VariableAccess: "The pointer is used as it was given.",
        "Do not add a variable to it; choose the field with a switch.";
    MapWriteForbidden: "Read-only maps are not written.",
        "Write to another map, or take BPF_F_RDONLY_PROG (const, .rodata) away from this one.";
    MapReadForbidden: "Write-only maps are not read.",
        "Read from another map, or take BPF_F_WRONLY_PROG away from this one.";
    MinNegative: "What is added to a pointer is never negative.",
        "Make the index unsigned, or test that it is >= 0 before it is used.";
    Unbounded: "What is added to a pointer has an upper bound.",
        "Compare the index with the size before it is used, or mask it: the check and the access must see the same variable.";
    MinOutside: "The lowest address that is possible lies within the memory.",
        "Test the index from below as well, or make it unsigned.";
    MaxOutside: "The highest address that is possible, with all bytes of the access, lies within the memory.",
        "Tighten the check: index + bytes of the access <= size.";
    MapBounds: "All bytes of the access lie within the map's value.",
        "Make the value larger, or correct the offset; the value's size is in the message.";
    MemBounds: "All bytes of the access lie within the memory that the caller gives.",
        "Correct the offset, or give the function's argument a larger type; its size is in the message.";
    PacketBounds: "All bytes of the access lie below what was compared with data_end on this path.",
        "Compare the end of what is read with data_end before it is read: if (data + bytes > data_end) return XDP_DROP;";
    PacketOutside: "The access is not beyond the packet's end.",
        "The access stands in the branch in which the packet is too short: turn the comparison round, or return there.";
    StackUnbounded: "What is added to a stack pointer has bounds.",
        "Compare the index with the array's size before it is used, or mask it.";
    StackBounds: "Accesses to the stack lie within the 512 bytes of the frame.",
        "Correct the offset; move large buffers to a per-CPU array map.";
    StackVarBounds: "All addresses that are possible lie within the frame.",
        "Tighten the check of the index: index + bytes of the access <= size of the array.";
    InvalidFill: "A pointer on the stack is read back whole.",
        "Read all eight bytes of it; do not look into pointers by parts.";
    InvalidSpill: "A pointer is stored whole.",
        "Store it as 8 bytes (void *, __u64), or convert it to a number first.";
    StackPointerToCaller: "A function does not leave the address of its own stack in its caller's.",
        "Return the value instead of a pointer to a local variable.";
    AtomicKind: "Atomics work on maps' values and on the stack.",
        "Count in a map's value; packets and the context are the program's alone and need no atomics.";
    AtomicLoad: "Atomics work on maps' values and on the stack.",
        "Use a plain load.";
    Pointer32: "Pointers are computed with in 64 bits.",
        "Keep the pointer in a 64-bit variable; casts to __u32 cut it.";
    PointerPointer: "Pointers are subtracted from each other, nothing else.",
        "Add a number to one pointer; take the distance of two with a subtraction.";
    NullArithmetic: "A pointer that may be null is tested before anything is added to it.",
        "Test the result of the lookup first.";
    NoArithmetic: "Nothing is added to a pointer of this kind.",
        "Use the pointer as it was given.";
    SubFromScalar: "A pointer is not subtracted from a number.",
        "Turn the operands round, or subtract two pointers.";
    StackSub: "Nothing is subtracted from a stack pointer.",
        "Add a negative constant instead; index arrays from their start.";
    PointerBitwise: "Pointers are added to, not masked.",
        "Mask the index before it is added to the pointer.";
    PointerOp: "Pointers are added to and subtracted from, nothing else.",
        "Compute the index first, then add it to the pointer.";
    PointerConst: "Constants added to a pointer are below 2^29.",
        "Correct the constant; no memory here is that large.";
    PointerOff: "Constants added to a pointer are below 2^29 in sum.",
        "Correct the constants; no memory here is that large.";
    PointerUnbounded: "A number that is added to a pointer has a lower bound.",
        "Make the number unsigned and mask or compare it before it is added.";
    PointerOutOfBounds: "A number that is added to a pointer is within 2^29.",
        "Mask or compare the number before it is added.";
    NoSuchHelper: "XDP programs call helpers that are for XDP.",
        "Use a helper of the list that `uxdp inspect` and docs/ know, or register one of your own with the environment.";
    ArgType: "Arguments are of the kinds that the helper takes.",
        "Compare the call with the helper's prototype; test results of lookups before they are passed on.";
    NotProgArray: "A tail call takes a map of type BPF_MAP_TYPE_PROG_ARRAY.",
        "Pass the prog array as second argument, directly by its name.";
    MapType: "The helper takes maps of certain types.",
        "Use the map type that the helper is for: devmap, cpumap and xskmap for bpf_redirect_map, ringbuf for bpf_ringbuf_*, and so on.";
    NoMapArg: "The map comes before its key and its value.",
        "Pass the map as first argument.";
    SizeNegative: "A size is never negative.",
        "Make the size unsigned, or test that it is > 0 and at most the buffer's size.";
    SizeZero: "A size is not zero.",
        "Test for zero before the call.";
    SizeUnbounded: "A size has an upper bound within the memory that is passed.",
        "Compare the size with the buffer's before the call, or mask it.";
    HelperPacket: "This helper does not take packet memory.",
        "Copy the bytes to the stack and pass those.";
    NotConstStr: "The text is constant.",
        "Use a string literal or a static const char array (.rodata).";
    InvalidFormat: "The format has conversions that are known, and an argument for each.",
        "Use %d %i %u %x %X with l or ll, %c, %s, %p and its kinds (%pi4, %pI4, %pi6, %pI6, %pks, %pus), and pass one number of 64 bits for each.";
    FormatArguments: "The arguments of a format are an array of 64-bit numbers.",
        "Make the array one of __u64 and pass its sizeof.";
    NoInnerMap: "A map of maps knows what its inner maps are like.",
        "Declare the inner map in the outer one's definition: __array(values, struct { ... }).";
    KeyWrite: "A key that a callback gets is only read.",
        "Copy the key to the stack and change the copy.";
    KeyBounds: "All bytes of the access lie within the map's key.",
        "Correct the offset; the key's size is in the message.";
    ReadOnlyMem: "This memory is only read.",
        "Copy it to the stack and change the copy; take a writable slice with bpf_dynptr_slice_rdwr.";
    Unreleased: "What was taken is given back on every path.",
        "Give it back before each return: bpf_ringbuf_submit or bpf_ringbuf_discard, bpf_sk_release, bpf_ringbuf_submit_dynptr, bpf_iter_num_destroy.";
    NotReferenced: "What is given back was taken before, and not given back yet.",
        "Pass the pointer that the taking call returned, once.";
    NotHeld: "What is given back was taken before, and not given back yet.",
        "Give it back once on each path.";
    ReleaseOffset: "The pointer is given back as it was taken.",
        "Keep the original pointer in a variable of its own and pass that.";
    CallInLock: "Between bpf_spin_lock and bpf_spin_unlock nothing is called.",
        "Call before the lock is taken or after it is given back; copy what is needed.";
    GlobalCallInLock: "Between bpf_spin_lock and bpf_spin_unlock no global function is called.",
        "Make the function static, or call it outside the lock.";
    InLock: "The lock is given back before the program ends or goes on in another.",
        "Call bpf_spin_unlock on every path before it.";
    TwoLocks: "One lock is held at a time.",
        "Give the first lock back before the second is taken.";
    NotLocked: "A lock that is given back is held.",
        "Take the lock on every path that gives it back.";
    OtherLock: "The lock that is given back is the one that is held.",
        "Pass the same lock, of the same lookup, to both calls.";
    FieldAccess: "Locks and timers in a map's value are touched by their helpers alone.",
        "Read and write the fields around it; do not copy the value as a whole.";
    FieldVariable: "A lock or timer is named at a constant offset.",
        "Pass the address of the field itself, without a variable index.";
    NoField: "The map's value has such a field, and its type is known.",
        "Put the field (struct bpf_spin_lock, struct bpf_timer) into the value's type, and compile with -g.";
    FieldOffset: "The pointer leads to the field.",
        "Pass the address of the field: &value->lock, &value->timer.";
    PointerLeak: "In the modes hygiene and strict, no address goes into memory that others read, and in strict to no helper as a plain argument.",
        "Store what the pointer points to, or an index; or load in the mode compat.";
    CorruptSpill: "In the modes hygiene and strict, a pointer on the stack is overwritten as a whole or not at all.",
        "Give the pointer a variable of its own, or load in the mode compat.";
    PartialCopy: "In the mode strict, a pointer is copied whole.",
        "Copy it with its full type, or load in the mode compat.";
    PointerAsNumber: "In the mode strict, no number is made from pointers.",
        "Keep a length or an index beside the pointer instead of a difference of pointers, or load in the mode compat.";
    PointerComparison: "In the mode strict, pointers are compared with null and packet pointers with the packet's end alone.",
        "Compare indexes instead, or load in the mode compat.";
    ReturnsPointer: "In the mode strict, a program returns a number.",
        "Return an action such as XDP_PASS.";
    TimerMap: "A timer is set up with the map that holds it.",
        "Pass the map in whose value the timer is.";
    CallbackNotStatic: "A callback is a static function.",
        "Declare the function static.";
    CallbackResult: "A callback returns a number.",
        "Return 0 to go on, 1 to stop.";
    ResultOutside: "A callback returns a number that its caller knows.",
        "Return 0 to go on, 1 to stop; of a timer, always 0.";
    CallbackTailCall: "A callback makes no tail calls.",
        "Do the work in the callback itself, or set a flag in a map.";
    NoWalk: "Only arrays and hashes can be walked over.",
        "Keep the elements in an array or a hash.";
    ObjectNotOnStack: "Dynamic pointers and iterators stand on the stack.",
        "Use a local variable.";
    ObjectVariable: "Dynamic pointers and iterators are named at a constant offset.",
        "Use a variable for each, without a variable index.";
    ObjectOffset: "Dynamic pointers and iterators are named by their start, aligned to 8 bytes.",
        "Pass the address of the variable itself.";
    ObjectFill: "The bytes of dynamic pointers and iterators are not read.",
        "Use the helpers: bpf_dynptr_read, bpf_dynptr_data, bpf_iter_num_next.";
    ObjectRead: "The bytes of dynamic pointers and iterators are not read.",
        "Pass another buffer to the helper.";
    ObjectWrite: "The bytes of dynamic pointers are not written.",
        "Pass another buffer to the helper; give the dynamic pointer back before its place is used again.";
    DynptrNotFree: "A dynamic pointer is made where none is.",
        "Use another variable, or give the old one back first.";
    DynptrSource: "A dynamic pointer is made of a map's value.",
        "Pass a pointer to a map's value.";
    DynptrNotReady: "A dynamic pointer is made before it is used.",
        "Make it on every path: bpf_dynptr_from_mem, bpf_dynptr_from_xdp, bpf_ringbuf_reserve_dynptr.";
    DynptrConst: "A callback's dynamic pointer is not changed.",
        "Clone it with bpf_dynptr_clone and change the clone.";
    DynptrNotOwned: "A callback's dynamic pointer is not given back.",
        "Leave it: its owner gives it back.";
    DynptrNotAcquired: "A dynamic pointer that is given back is one of a reservation.",
        "Pass the one that bpf_ringbuf_reserve_dynptr made, once.";
    DynptrReferenced: "A dynamic pointer of a reservation is not overwritten.",
        "Submit or discard it first.";
    IterNotOnStack: "An iterator stands on the stack.",
        "Use a local variable of type struct bpf_iter_num, or the macro bpf_for.";
    IterNotFree: "An iterator is made where none is.",
        "Call bpf_iter_num_destroy before bpf_iter_num_new, or use bpf_for.";
    IterNotReady: "An iterator is made before it is used.",
        "Call bpf_iter_num_new on every path, or use bpf_for.";
    SizeNotConst: "The size is a constant.",
        "Pass a number that is known when the program is compiled, sizeof for one.";
    TooManyFrames: "At most 8 functions are nested.",
        "Mark functions static __always_inline, or make the chain of calls shorter.";
    StackTooLarge: "The functions of a chain of calls have 512 bytes of stack together.",
        "Move large variables to a per-CPU array map, or inline less deeply.";
    TailCallStack: "Above a function that makes a tail call there are at most 256 bytes of stack.",
        "Make the tail call from the main function, or use less stack before it.";
    Recursion: "No function calls itself, not through others either.",
        "Turn the recursion into a loop with a bound.";
    ReturnsStack: "A function does not return the address of its own stack.",
        "Return the value, or fill a variable of the caller through a pointer.";
    NotScalarArg: "The global function's argument is a number.",
        "Pass a number; make the function static if it takes any other pointer.";
    NullArg: "An argument that a global function calls __arg_nonnull is never null.",
        "Test the pointer before the call, or take __arg_nonnull away and test it inside.";
    BadSignature: "Arguments of a global function are numbers, the context, or pointers to types of known size.",
        "Change the argument's type, or make the function static.";
    NoSignature: "A global function has type information.",
        "Compile with -g, or make the function static.";
    NotScalarReturn: "A global function returns a number.",
        "Return int, or make the function static.";
    GlobalReturn: "A global function returns a number.",
        "Return a number on every path, or make the function static.";
    TooManyInsns: "All paths together have at most a million instructions.",
        "Give loops smaller bounds or use bpf_loop, put work into global functions, which are verified once, and avoid many branches in a row.";
    TooManyBranches: "At most 8192 branches wait at a time.",
        "Use fewer branches in a row, or put parts into global functions.";
    InfiniteLoop: "Something changes in every round of a loop.",
        "Count the rounds in a variable that the loop's condition tests, with a constant as bound.";
    OutOfMemory: "The states of all paths fit the verifier's memory.",
        "Raise the memory limit of the verification, or make the program simpler: fewer branches, smaller loop bounds.";
    Internal: "The verifier has no bugs.",
        "Report it, with the object; the program may well be right.";
}

#[cfg(test)]
mod tests {
    use super::ROWS;

    #[test]
    fn every_reason_has_a_demand_and_an_advice_that_are_sentences() {
        assert!(ROWS.len() > 75, "{}", ROWS.len());
        for (name, (demand, todo)) in ROWS {
            for text in [demand, todo] {
                let ends = text.ends_with(['.', ';', '}']);
                assert!(
                    text.len() > 12 && ends && text.starts_with(|c: char| c.is_uppercase() || c == 'r'),
                    "{name}: {text}"
                );
            }
        }
    }
}
