//! What the machine has beyond the baseline that this library is compiled for.

use super::table::Wide;

/// Whether it counts bits by instructions of their own (POPCNT, LZCNT, BMI1, BMI2), as functions with [`on_both!`] rely on.
#[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
pub(super) fn counts_bits() -> bool {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    const POPCNT: u32 = 1 << 23;
    const BMI: u32 = 1 << 3 | 1 << 8;
    const LZCNT: u32 = 1 << 5;
    __cpuid(0).eax >= 7
        && __cpuid(1).ecx & POPCNT != 0
        && __cpuid_count(7, 0).ebx & BMI == BMI
        && __cpuid(0x8000_0000).eax > 0x8000_0000
        && __cpuid(0x8000_0001).ecx & LZCNT != 0
}

/// Whether there is a second form of [`on_both!`]'s functions: on other machines the baseline is all there is.
#[cfg(not(all(target_arch = "x86_64", not(any(miri, loom)))))]
pub(super) fn counts_bits() -> bool {
    false
}

/// Whether it also compares a cache line at once, as functions with [`on_lines!`] rely on.
pub(super) fn compares_lines() -> bool {
    counts_bits() && Wide::is_here()
}

/// Two functions of one body: `$plain` for every machine, `$quick` for one of which [`counts_bits`] is true.
macro_rules! on_both {
    ($(#[$doc:meta])* $plain:ident, $quick:ident, $($abi:literal)? ($($arg:ident: $type:ty),*) $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        unsafe $(extern $abi)? fn $plain($($arg: $type),*) $(-> $result)? $body

        $(#[$doc])*
        #[cfg_attr(
            all(target_arch = "x86_64", not(any(miri, loom))),
            target_feature(enable = "popcnt,lzcnt,bmi1,bmi2")
        )]
        unsafe $(extern $abi)? fn $quick($($arg: $type),*) $(-> $result)? $body
    };
}

/// Two generic functions of one body, in which `$compare` is how words are compared: `$usual` for every machine, `$wide` for one of which [`compares_lines`] is true.
macro_rules! on_lines {
    (
        $(#[$doc:meta])* $usual:ident, $wide:ident, [$($generic:tt)*] $compare:ident, $($abi:literal)?
        ($($arg:ident: $type:ty),*) $(-> $result:ty)? $body:block
    ) => {
        $(#[$doc])*
        unsafe $(extern $abi)? fn $usual<$($generic)*>($($arg: $type),*) $(-> $result)? {
            type $compare = Usual;
            $body
        }

        $(#[$doc])*
        #[cfg_attr(
            all(target_arch = "x86_64", not(any(miri, loom))),
            target_feature(enable = "popcnt,lzcnt,bmi1,bmi2")
        )]
        unsafe $(extern $abi)? fn $wide<$($generic)*>($($arg: $type),*) $(-> $result)? {
            type $compare = Wide;
            $body
        }
    };
}

pub(super) use {on_both, on_lines};
