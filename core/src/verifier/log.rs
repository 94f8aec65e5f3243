//! The log, in the kernel's wording.
//!
//! Level 1: functions, instructions as they are first processed, where paths branch off, the closing line. Level 2: also the state after each. Where the
//! caller's buffer is full, what does not fit is lost; the verdict does not depend on it.

use super::input::Input;
use super::reg::{Kind, Reg};
use super::scalar::Scalar;
use super::stack::Byte;
use super::state::State;
use crate::isa::{Disasm, Names};
use crate::program::{Code, VerifierStats};
use core::fmt::{self, Write};

/// Where the log goes, and how much of it.
pub(crate) struct Log<'l> {
    out: &'l mut dyn Write,
    level: u32,
}

impl fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log at level {}", self.level)
    }
}

struct ProgramNames<'a>(Input<'a>);

impl Names for ProgramNames<'_> {
    fn helper(&self, id: u32) -> Option<&str> {
        let row = self.0.helpers.row_of(id)?;
        self.0.helpers.get(row).map(|h| h.name)
    }
    fn map(&self, idx: u32) -> Option<&str> {
        self.0.map(idx).map(|m| m.name)
    }
}

impl<'l> Log<'l> {
    pub(crate) fn new(out: &'l mut dyn Write, level: u32) -> Self {
        Log { out, level }
    }

    fn line(&mut self, text: fmt::Arguments<'_>) {
        // A full buffer loses lines, see above.
        let _full = self.out.write_fmt(text).and_then(|()| self.out.write_char('\n'));
    }

    /// A warning, at any level but 0.
    pub(crate) fn warn(&mut self, text: fmt::Arguments<'_>) {
        if self.level > 0 {
            self.line(format_args!("warning: {text}"));
        }
    }

    /// The exploration of a function starts.
    pub(crate) fn function(&mut self, code: &Code, func: u32) {
        if self.level > 0
            && let Some(sub) = code.subprogs.get(func as usize)
        {
            let name = if func == 0 { code.name.as_str() } else { sub.name.as_str() };
            match func {
                0 => self.line(format_args!("func#0 @0 {name}")),
                _ => self.line(format_args!("Validating {name}() func#{func}...")),
            }
        }
    }

    /// A way that waited is taken up.
    pub(crate) fn from(&mut self, from: u32, to: u32, state: &State) {
        if self.level > 0 {
            self.line(format_args!("\nfrom {from} to {to}: {}", Shown(state)));
        }
    }

    /// A path ends at a state that is covered.
    pub(crate) fn covered(&mut self, pc: u32) {
        if self.level > 0 {
            self.line(format_args!("{pc}: safe"));
        }
    }

    /// An instruction is processed.
    pub(crate) fn insn(&mut self, input: Input<'_>, pc: u32) {
        if self.level == 0 {
            return;
        }
        let code = input.code;
        if let Some(line) = code.line_at(pc)
            && line.pc == pc
        {
            let (text, file) = (code.string(line.text), code.string(line.file));
            self.line(format_args!("; {} @ {file}:{}", text.trim(), line.line));
        }
        let names = ProgramNames(input);
        self.line(format_args!("{pc}: {}", Disasm::new(&code.insns, pc, &names)));
    }

    /// The state after an instruction.
    pub(crate) fn state(&mut self, pc: u32, state: &State) {
        if self.level > 1 && !state.frames.is_empty() {
            self.line(format_args!("{pc}: {}", Shown(state)));
        }
    }

    /// The reason of a refusal.
    pub(crate) fn reason(&mut self, text: fmt::Arguments<'_>) {
        self.line(text);
    }

    /// The kernel's closing line.
    pub(crate) fn closing(&mut self, s: &VerifierStats, limit: u32) {
        if self.level > 0 {
            self.line(format_args!(
                "processed {} insns (limit {limit}) max_states_per_insn {} total_states {} peak_states {} mark_read {}",
                s.insns_processed, s.max_states_per_insn, s.total_states, s.peak_states, s.mark_read
            ));
        }
    }
}

/// A state as the kernel shows one: initialised registers, then stack slots.
struct Shown<'a>(&'a State);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.0.frame();
        let depth = self.0.depth();
        if depth > 0 {
            write!(f, "frame{depth}: ")?;
        }
        let mut gap = "";
        for (i, reg) in frame.regs.iter().enumerate() {
            if reg.kind != Kind::NotInit {
                write!(f, "{gap}R{i}={}", ShownReg(reg))?;
                gap = " ";
            }
        }
        for (i, slot) in frame.stack.slots().iter().enumerate() {
            if slot.bytes == [Byte::Invalid; 8] {
                continue;
            }
            write!(f, "{gap}fp-{}=", 8 * (i + 1))?;
            gap = " ";
            match slot.spilled() {
                Some(reg) if slot.spill_size() == 8 => write!(f, "{}", ShownReg(reg))?,
                _ => {
                    for b in slot.bytes.iter().rev() {
                        f.write_char(match b {
                            Byte::Invalid => '?',
                            Byte::Misc => 'm',
                            Byte::Known(0) => '0',
                            Byte::Known(_) => 'm',
                            Byte::Spill => 'r',
                            Byte::Object => 'o',
                        })?;
                    }
                }
            }
        }
        Ok(())
    }
}

struct ShownReg<'a>(&'a Reg);

impl fmt::Display for ShownReg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        if let Some(v) = r.known() {
            return write!(f, "{}", v as i64);
        }
        if let Kind::Stack(_) = r.kind
            && r.var.known() == Some(0)
        {
            f.write_str("fp")?;
            return write!(f, "{}", r.off);
        }
        write!(f, "{}(", r.kind.name())?;
        let mut gap = "";
        let mut put = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            f.write_str(gap)?;
            gap = ",";
            f.write_fmt(text)
        };
        if r.id != 0 {
            put(f, format_args!("id={}{}", r.id, if r.add_const { "+" } else { "" }))?;
        }
        if r.off != 0 {
            put(f, format_args!("off={}", r.off))?;
        }
        if r.kind.is_packet() {
            put(f, format_args!("r={}", r.range))?;
        }
        if !r.var.is_const() {
            bounds(f, &r.var, &mut put)?;
        } else if r.var.known() != Some(0) {
            put(f, format_args!("imm={:#x}", r.var.umin()))?;
        }
        f.write_char(')')
    }
}

/// The bounds that say something.
fn bounds<'f>(
    f: &mut fmt::Formatter<'f>,
    v: &Scalar,
    put: &mut impl FnMut(&mut fmt::Formatter<'f>, fmt::Arguments<'_>) -> fmt::Result,
) -> fmt::Result {
    if v.smin() != i64::MIN {
        put(f, format_args!("smin={}", v.smin()))?;
    }
    if v.smax() != i64::MAX {
        put(f, format_args!("smax={}", v.smax()))?;
    }
    if v.umin() != 0 {
        put(f, format_args!("umin={}", v.umin()))?;
    }
    if v.umax() != u64::MAX {
        put(f, format_args!("umax={}", v.umax()))?;
    }
    if v.tnum() != super::tnum::Tnum::UNKNOWN {
        put(f, format_args!("var_off={:?}", v.tnum()))?;
    }
    Ok(())
}
