//! Helpers: functions that programs call by number. One table row each: prototype for the verifier, function for every engine.
//!
//! One family a file. A helper's logic may not allocate, panic or wait. Arguments are what the prototype says, proven by the verifier: that is the argument of
//! every `unsafe` in this folder. Prototypes, results and errors are the kernel's (Linux 6.18), asked where they are not documented.

mod arguments;
mod chain;
mod conntrack;
mod control;
mod cookie;
mod csum;
mod dynptr;
mod fib;
mod format;
mod forward;
mod host;
mod iter;
mod map;
mod metadata;
mod output;
mod packet;
mod proto;
mod readable;
mod string;
mod strings;
mod system;
mod tail;
mod timer;
mod trace;

pub use proto::{
    Access, ArgType, Callback, DynptrKind, DynptrUse, HOST_FIRST, Handle, Helper, HelperFn, HelperSet,
    IterUse, KFUNC_BASE, Lock, Proto, RetType, kernel_only,
};
pub use tail::TAIL_CALL;

pub(crate) use arguments::{MAX_BPRINTF_BIN_ARGS, MAX_BPRINTF_VARARGS, Taken};
pub(crate) use format::{check_constant as check_format, render};
pub(crate) use iter::{ITER_NUM_DESTROY, ITER_NUM_NEW, ITER_NUM_NEXT};
pub(crate) use proto::kernel_only_kfunc;
pub(crate) use trace::SNPRINTF;

/// Every helper and kernel function that XDP programs may call, by number. Not all are provided in this version ([`Helper::func`]).
static ROWS: [Helper; 100] = [
    map::LOOKUP,
    map::UPDATE,
    map::DELETE,
    system::KTIME,
    trace::TRACE_PRINTK,
    system::PRANDOM,
    system::SMP_ID,
    tail::ROW,
    forward::REDIRECT,
    output::PERF_EVENT_OUTPUT,
    csum::CSUM_DIFF,
    system::NUMA_NODE,
    packet::ADJUST_HEAD,
    forward::REDIRECT_MAP,
    packet::ADJUST_META,
    packet::ADJUST_TAIL,
    fib::FIB_LOOKUP,
    host::SK_LOOKUP_TCP,
    host::SK_LOOKUP_UDP,
    host::SK_RELEASE,
    map::PUSH,
    map::POP,
    map::PEEK,
    control::SPIN_LOCK,
    control::SPIN_UNLOCK,
    host::SKC_LOOKUP_TCP,
    host::TCP_CHECK_SYNCOOKIE,
    string::STRTOL,
    string::STRTOUL,
    host::TCP_GEN_SYNCOOKIE,
    system::JIFFIES64,
    system::KTIME_BOOT,
    output::RINGBUF_OUTPUT,
    output::RINGBUF_RESERVE,
    output::RINGBUF_SUBMIT,
    output::RINGBUF_DISCARD,
    output::RINGBUF_QUERY,
    system::KTIME_COARSE,
    fib::CHECK_MTU,
    map::FOR_EACH,
    trace::SNPRINTF,
    timer::INIT,
    timer::SET_CALLBACK,
    timer::START,
    timer::CANCEL,
    trace::TRACE_VPRINTK,
    control::LOOP,
    string::STRNCMP,
    packet::BUFF_LEN,
    packet::LOAD_BYTES,
    packet::STORE_BYTES,
    map::LOOKUP_PERCPU,
    dynptr::FROM_MEM,
    output::RINGBUF_RESERVE_DYNPTR,
    output::RINGBUF_SUBMIT_DYNPTR,
    output::RINGBUF_DISCARD_DYNPTR,
    dynptr::READ_BYTES,
    dynptr::WRITE_BYTES,
    dynptr::DATA,
    cookie::GEN_IPV4,
    cookie::GEN_IPV6,
    cookie::CHECK_IPV4,
    cookie::CHECK_IPV6,
    system::KTIME_TAI,
    output::USER_RINGBUF_DRAIN,
    metadata::RX_HASH,
    metadata::RX_TIMESTAMP,
    metadata::RX_VLAN_TAG,
    dynptr::FROM_XDP,
    dynptr::SLICE,
    dynptr::SLICE_RDWR,
    dynptr::ADJUST,
    dynptr::CLONE,
    dynptr::SIZE,
    dynptr::IS_NULL,
    dynptr::IS_RDONLY,
    iter::NEW,
    iter::NEXT,
    iter::DESTROY,
    conntrack::CT_ALLOC,
    conntrack::CT_LOOKUP,
    conntrack::CT_INSERT,
    conntrack::CT_RELEASE,
    conntrack::CT_SET_TIMEOUT,
    conntrack::CT_CHANGE_TIMEOUT,
    conntrack::CT_SET_STATUS,
    conntrack::CT_CHANGE_STATUS,
    packet::PULL_DATA,
    strings::STRCMP,
    strings::STRCHR,
    strings::STRCHRNUL,
    strings::STRNCHR,
    strings::STRRCHR,
    strings::STRLEN,
    strings::STRNLEN,
    strings::STRSPN,
    strings::STRCSPN,
    strings::STRSTR,
    strings::STRNSTR,
    strings::STRCASECMP,
];

/// The helpers that every environment has.
pub const STANDARD: HelperSet = HelperSet::new(&ROWS);

const _: () = {
    let mut i = 1;
    while i < ROWS.len() {
        assert!(ROWS[i - 1].id < ROWS[i].id, "rows are sorted by number");
        i += 1;
    }
};

#[cfg(test)]
mod tests;
