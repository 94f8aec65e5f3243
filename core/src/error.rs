//! Statuses: Linux errno values on every platform, and the trait that maps each stage's error to one.
//!
//! Every stage has its own `Copy` error enum with the offending values inside and a `Display` in the kernel's words; it implements [`Status`].

use crate::mem::OutOfMemory;
use core::fmt;

/// A Linux errno value, positive. The C API returns it negated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        #[expect(missing_docs, reason = "Linux's names and meanings")]
        impl Errno {
            $(pub const $name: Errno = Errno($value);)*

            /// Every value that this library can return, with its name and a sentence.
            pub const ALL: &'static [(Errno, &'static str, &'static str)] = &[$((Errno($value), stringify!($name), $text)),*];

            /// The sentence for this value, or a general one, with a NUL byte at its end for C.
            pub const fn text_nul(self) -> &'static str {
                match self {
                    $(Errno::$name => concat!($text, "\0"),)*
                    _ => "unknown error\0",
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such element or name";
    ESRCH = 3, "no such process";
    EINTR = 4, "interrupted";
    EIO = 5, "input or output error";
    E2BIG = 7, "too big, or the map is full";
    ENOEXEC = 8, "not an eBPF object file";
    EBADF = 9, "bad handle";
    EAGAIN = 11, "try again";
    ENOMEM = 12, "out of memory";
    EACCES = 13, "program refused by the verifier, or permission denied";
    EFAULT = 14, "bad address";
    EBUSY = 16, "busy";
    EEXIST = 17, "exists already";
    ENODEV = 19, "no such device or CPU";
    EINVAL = 22, "invalid argument";
    EMFILE = 24, "too many open handles";
    ENOSPC = 28, "no space left";
    ERANGE = 34, "out of range";
    EDEADLK = 35, "it would wait for itself";
    ENAMETOOLONG = 36, "name too long";
    ENODATA = 61, "no data available";
    ENONET = 64, "no such network name space";
    EPROTO = 71, "malformed shared memory";
    EOVERFLOW = 75, "value too large";
    EMSGSIZE = 90, "message too long";
    EOPNOTSUPP = 95, "not supported, or the host service is missing";
    EAFNOSUPPORT = 97, "address family not supported";
    EADDRINUSE = 98, "address in use";
    ETIMEDOUT = 110, "timed out";
    EALREADY = 114, "already done";
    ENOTSUPP = 524, "operation not supported by this map or helper";
}

impl Errno {
    /// The sentence for this value, or a general one.
    pub fn text(self) -> &'static str {
        self.text_nul().trim_end_matches('\0')
    }

    /// The value as a helper returns it to a program: negative, in 64 bits.
    pub const fn to_ret(self) -> u64 {
        (-(self.0 as i64)) as u64
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::ALL.iter().find(|e| e.0 == *self) {
            Some(e) => f.write_str(e.1),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self:?})", self.text())
    }
}

impl core::error::Error for Errno {}

/// An error that has a place among the statuses of the C API.
pub trait Status {
    /// The errno that C callers see, negated.
    fn errno(&self) -> Errno;
}

impl Status for Errno {
    fn errno(&self) -> Errno {
        *self
    }
}

impl Status for OutOfMemory {
    fn errno(&self) -> Errno {
        Errno::ENOMEM
    }
}

impl From<OutOfMemory> for Errno {
    fn from(_: OutOfMemory) -> Self {
        Errno::ENOMEM
    }
}
