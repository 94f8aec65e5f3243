//! The format language of `bpf_trace_printk` and its kin: checked, measured and written without allocation.
//!
//! A format is printable ASCII with conversions `%[flags][width]` and one of d i u x X (with l or ll), c, s, p and its kinds. Anything else is EINVAL, as the
//! kernel has it. [`Spec::next_in`] is the one parser; the checker and the writer walk with it.

use super::arguments::MAX_BPRINTF_BIN_ARGS;
use crate::error::Errno;
use core::fmt::{self, Write};

/// Where a writer finds the arguments of a format.
pub(crate) trait Arguments {
    /// The number of conversion `index`.
    fn number(&self, index: usize) -> u64;
    /// The bytes that conversion `index` points to: a text without its NUL, or an address's 4 or 16 bytes; empty where they cannot be read.
    fn bytes(&self, index: usize) -> &[u8];
}

/// What a conversion prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Signed {
        long: bool,
    },
    Unsigned {
        long: bool,
    },
    Hex {
        long: bool,
        upper: bool,
    },
    Char,
    Text,
    /// `%p`, `%px`, `%pK`.
    Pointer,
    /// `%pB`: without symbols, the bare address.
    Symbol,
    /// `%pi4` (padded), `%pI4`.
    Ipv4 {
        padded: bool,
    },
    /// `%pi6`, `%pI6` (with colons).
    Ipv6 {
        colons: bool,
    },
}

/// One conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) kind: Kind,
    width: usize,
    zero: bool,
    plus: bool,
    space: bool,
    left: bool,
}

impl Spec {
    /// A conversion without flags and width.
    pub(super) const fn plain(kind: Kind) -> Spec {
        Spec { kind, width: 0, zero: false, plus: false, space: false, left: false }
    }

    /// Bytes behind the argument's pointer that are printed; 0 where it is none.
    pub(super) const fn pointee(self) -> usize {
        match self.kind {
            Kind::Text => MAX_BPRINTF_BIN_ARGS,
            Kind::Ipv4 { .. } => 4,
            Kind::Ipv6 { .. } => 16,
            _ => 0,
        }
    }

    /// Bytes of the argument itself.
    pub(super) const fn size(self) -> usize {
        match self.kind {
            Kind::Char => 1,
            Kind::Signed { long: false } | Kind::Unsigned { long: false } | Kind::Hex { long: false, .. } => {
                4
            }
            _ => 8,
        }
    }
}

/// A piece of a format.
pub(super) enum Piece<'a> {
    Literal(&'a [u8]),
    Conversion(Spec),
}

impl Spec {
    /// Cuts the next piece off a format; `None` at its end.
    pub(super) fn next_in<'a>(format: &mut &'a [u8]) -> Option<Result<Piece<'a>, Errno>> {
        if format.is_empty() {
            return None;
        }
        let plain = format.iter().position(|&b| b == b'%').unwrap_or(format.len());
        if plain > 0 {
            let (literal, rest) = format.split_at_checked(plain)?;
            *format = rest;
            let good = literal.iter().all(|b| matches!(b, b' '..=b'~' | b'\t'..=b'\r'));
            return Some(if good { Ok(Piece::Literal(literal)) } else { Err(Errno::EINVAL) });
        }
        if let [b'%', b'%', rest @ ..] = *format {
            *format = rest;
            return Some(Ok(Piece::Literal(b"%")));
        }
        let mut rest = format.split_first()?.1;
        let spec = Self::parse(&mut rest);
        *format = rest;
        Some(spec.map(Piece::Conversion).ok_or(Errno::EINVAL))
    }

    /// What follows a percent sign.
    fn parse(rest: &mut &[u8]) -> Option<Spec> {
        let mut spec = Spec::plain(Kind::Char);
        while let Some(flag) = take(rest, b"0+- ") {
            match flag {
                b'0' => spec.zero = true,
                b'+' => spec.plus = true,
                b'-' => spec.left = true,
                _ => spec.space = true,
            }
        }
        while let Some(digit) = take(rest, b"0123456789") {
            spec.width = spec.width.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
        }
        spec.width = spec.width.min(1024);
        spec.kind = if take(rest, b"p").is_some() {
            Self::pointer(rest)?
        } else if take(rest, b"s").is_some() {
            ends_word(rest).then_some(Kind::Text)?
        } else if take(rest, b"c").is_some() {
            Kind::Char
        } else {
            let long = take(rest, b"l").is_some();
            if long {
                take(rest, b"l");
            }
            match take(rest, b"diuxX")? {
                b'u' => Kind::Unsigned { long },
                b'x' => Kind::Hex { long, upper: false },
                b'X' => Kind::Hex { long, upper: true },
                _ => Kind::Signed { long },
            }
        };
        Some(spec)
    }

    fn pointer(rest: &mut &[u8]) -> Option<Kind> {
        Some(match *rest {
            [b'k' | b'u', b's', after @ ..] => {
                *rest = after;
                ends_word(rest).then_some(Kind::Text)?
            }
            [b'i', b'4', ..] => skip(rest, 2, Kind::Ipv4 { padded: true }),
            [b'I', b'4', ..] => skip(rest, 2, Kind::Ipv4 { padded: false }),
            [b'i', b'6', ..] => skip(rest, 2, Kind::Ipv6 { colons: false }),
            [b'I', b'6', ..] => skip(rest, 2, Kind::Ipv6 { colons: true }),
            [b'K' | b'x', ..] => skip(rest, 1, Kind::Pointer),
            [b'B' | b's' | b'S', ..] => skip(rest, 1, Kind::Symbol),
            _ => ends_word(rest).then_some(Kind::Pointer)?,
        })
    }
}

fn skip(rest: &mut &[u8], n: usize, kind: Kind) -> Kind {
    *rest = rest.get(n..).unwrap_or_default();
    kind
}

/// Takes one byte off, if it is one of `set`.
fn take(rest: &mut &[u8], set: &[u8]) -> Option<u8> {
    let (&first, after) = rest.split_first()?;
    if !set.contains(&first) {
        return None;
    }
    *rest = after;
    Some(first)
}

/// Whether a text's conversion may end here: at the end, before a space or punctuation.
fn ends_word(rest: &[u8]) -> bool {
    rest.first().is_none_or(|b| b.is_ascii_punctuation() || matches!(b, b' ' | b'\t'..=b'\r'))
}

/// Calls `each` with every conversion.
///
/// # Errors
/// EINVAL where it is no format, or has more than `max` conversions; what `each` says.
pub(super) fn check(
    format: &[u8],
    max: usize,
    mut each: impl FnMut(usize, Spec) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let (mut rest, mut count) = (format, 0);
    while let Some(piece) = Spec::next_in(&mut rest) {
        if let Piece::Conversion(spec) = piece? {
            if count == max {
                return Err(Errno::EINVAL);
            }
            each(count, spec)?;
            count += 1;
        }
    }
    Ok(())
}

/// Whether it is a format for so many arguments, as far as can be told before they are there.
///
/// # Errors
/// EINVAL where it is none, or has more conversions.
pub(crate) fn check_constant(format: &[u8], arguments: usize) -> Result<(), Errno> {
    check(format, arguments, |_, _| Ok(()))
}

/// Writes a format that [`check`] accepted; anything else ends it.
pub(crate) fn render(out: &mut dyn Write, format: &[u8], arguments: &dyn Arguments) -> fmt::Result {
    let (mut rest, mut index) = (format, 0);
    while let Some(piece) = Spec::next_in(&mut rest) {
        match piece.map_err(|_| fmt::Error)? {
            Piece::Literal(text) => ascii(out, text)?,
            Piece::Conversion(spec) => {
                spec.render(out, arguments.number(index), arguments.bytes(index))?;
                index += 1;
            }
        }
    }
    Ok(())
}

fn ascii(out: &mut dyn Write, text: &[u8]) -> fmt::Result {
    text.iter().try_for_each(|&b| out.write_char(char::from(b)))
}

/// Digits of a number, least significant first, in a field that holds every `u64`.
struct Digits {
    text: [u8; 20],
    len: usize,
}

impl Digits {
    fn of(mut value: u64, base: u64, upper: bool) -> Digits {
        let letter = if upper { b'A' } else { b'a' };
        let mut digits = Digits { text: [b'0'; 20], len: 0 };
        for place in &mut digits.text {
            let digit = (value % base) as u8;
            *place = if digit < 10 { b'0' + digit } else { letter + digit - 10 };
            digits.len += 1;
            value /= base;
            if value == 0 {
                break;
            }
        }
        digits
    }
}

impl Spec {
    pub(super) fn render(&self, out: &mut dyn Write, number: u64, bytes: &[u8]) -> fmt::Result {
        match self.kind {
            Kind::Signed { long } => {
                let value = if long { number as i64 } else { i64::from(number as i32) };
                let sign = match (value < 0, self.plus, self.space) {
                    (true, ..) => Some(b'-'),
                    (_, true, _) => Some(b'+'),
                    (_, _, true) => Some(b' '),
                    _ => None,
                };
                self.number(out, sign, &Digits::of(value.unsigned_abs(), 10, false), self.zero, self.width)
            }
            Kind::Unsigned { long } => {
                let value = if long { number } else { u64::from(number as u32) };
                self.number(out, None, &Digits::of(value, 10, false), self.zero, self.width)
            }
            Kind::Hex { long, upper } => {
                let value = if long { number } else { u64::from(number as u32) };
                self.number(out, None, &Digits::of(value, 16, upper), self.zero, self.width)
            }
            // Kernel: %p prints a hash of the address; uxdp: the address, because who reads the trace owns the process.
            Kind::Pointer => {
                let (zero, width) = if self.width == 0 { (true, 16) } else { (self.zero, self.width) };
                self.number(out, None, &Digits::of(number, 16, false), zero, width)
            }
            Kind::Symbol => {
                ascii(out, b"0x")?;
                self.number(out, None, &Digits::of(number, 16, false), false, 0)
            }
            Kind::Char => self.text(out, &[number as u8]),
            Kind::Text => self.text(out, bytes),
            Kind::Ipv4 { padded } => separated(out, bytes, 4, b".", |out, byte| {
                let width = if padded { 3 } else { 1 };
                write_padded(out, &Digits::of(u64::from(byte), 10, false), width)
            }),
            Kind::Ipv6 { colons } => {
                let groups = if colons { b":".as_slice() } else { b"" };
                (0..16).try_for_each(|i| {
                    if i > 0 && i % 2 == 0 {
                        ascii(out, groups)?;
                    }
                    let byte = bytes.get(i).copied().unwrap_or(0);
                    write_padded(out, &Digits::of(u64::from(byte), 16, false), 2)
                })
            }
        }
    }

    fn number(
        &self,
        out: &mut dyn Write,
        sign: Option<u8>,
        digits: &Digits,
        zero: bool,
        width: usize,
    ) -> fmt::Result {
        let len = digits.len + usize::from(sign.is_some());
        let fill = width.saturating_sub(len);
        let zeros = if zero && !self.left { fill } else { 0 };
        let blanks = fill - zeros;
        if !self.left {
            repeat(out, ' ', blanks)?;
        }
        if let Some(sign) = sign {
            out.write_char(char::from(sign))?;
        }
        repeat(out, '0', zeros)?;
        write_padded(out, digits, 0)?;
        repeat(out, ' ', if self.left { blanks } else { 0 })
    }

    fn text(&self, out: &mut dyn Write, text: &[u8]) -> fmt::Result {
        let fill = self.width.saturating_sub(text.len());
        repeat(out, ' ', if self.left { 0 } else { fill })?;
        ascii(out, text)?;
        repeat(out, ' ', if self.left { fill } else { 0 })
    }
}

fn repeat(out: &mut dyn Write, c: char, n: usize) -> fmt::Result {
    (0..n).try_for_each(|_| out.write_char(c))
}

fn write_padded(out: &mut dyn Write, digits: &Digits, width: usize) -> fmt::Result {
    repeat(out, '0', width.saturating_sub(digits.len))?;
    digits.text.iter().take(digits.len).rev().try_for_each(|&d| out.write_char(char::from(d)))
}

/// `n` bytes with a separator between; those that are not there are zero.
fn separated(
    out: &mut dyn Write,
    bytes: &[u8],
    n: usize,
    separator: &[u8],
    mut each: impl FnMut(&mut dyn Write, u8) -> fmt::Result,
) -> fmt::Result {
    (0..n).try_for_each(|i| {
        if i > 0 {
            ascii(out, separator)?;
        }
        each(out, bytes.get(i).copied().unwrap_or(0))
    })
}

/// Counts what is written.
#[derive(Default)]
pub(super) struct Length(pub(super) usize);

impl Write for Length {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0 += s.len();
        Ok(())
    }

    fn write_char(&mut self, _: char) -> fmt::Result {
        self.0 += 1;
        Ok(())
    }
}
