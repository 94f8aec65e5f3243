//! The log, in the kernel's format.
//!
//! Level 1: the path at hand, with the state after each instruction as far as that touched it. A path that ended well is forgotten, so that a refused
//! program leaves the one path that was refused, and an accepted one nothing but the closing line. Level 2: every path, in the order in which they are explored,
//! and first the functions and the registers that are live at each instruction.
//!
//! A state stands behind its instruction (`7: (bf) r2 = r1   ; R1=ctx() R2=ctx()`): what was read or written since the last one was shown. Where a path
//! is taken up or a function is entered or left, all of it is shown.
//!
//! Where the caller's buffer is full, what does not fit is lost; the verdict does not depend on it.

use super::input::Input;
use super::show::{Part, ShownFrame};
use super::state::State;
use crate::isa::{Callee, Disasm, Names, Op, Operand, Reg as R, Source};
use crate::mem::Vec;
use crate::program::VerifierStats;
use core::fmt::{self, Write};

/// Most bytes that level 1 holds back.
const HELD: usize = 16 << 20;

/// Where the log goes, and how much of it.
pub(crate) struct Log<'l> {
    out: &'l mut dyn Write,
    level: u32,
    /// Level 1: lines of the path at hand.
    held: Vec<u8>,
    /// Characters of the line that a state may still follow.
    open: Option<usize>,
    /// Read or written since the last state was shown.
    touched: Part,
    /// The instruction from which the path at hand was reached, until that is said.
    from: Option<u32>,
    /// First slot of the source line that was shown last.
    source: Option<u32>,
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
        self.0.helpers.get(row).map(|h| h.name.strip_prefix("bpf_").unwrap_or(h.name))
    }
    fn map(&self, idx: u32) -> Option<&str> {
        self.0.map(idx).map(|m| m.name)
    }
}

/// Counts what passes.
struct Counted<'a> {
    to: &'a mut dyn Write,
    chars: usize,
}

impl Write for Counted<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.chars += text.chars().count();
        self.to.write_str(text)
    }
}

/// Takes what fits.
struct Held<'a>(&'a mut Vec<u8>);

impl Write for Held<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > HELD {
            return Err(fmt::Error);
        }
        self.0.extend_from_slice(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Column of the `;` before a state, for a line of that many characters.
fn column(chars: usize) -> usize {
    (chars + 5).max(40).next_multiple_of(8) - 2
}

impl<'l> Log<'l> {
    pub(crate) fn new(out: &'l mut dyn Write, level: u32) -> Self {
        Log { out, level, held: Vec::new(), open: None, touched: Part::ALL, from: None, source: None }
    }

    /// Writes; returns how many characters that were.
    fn raw(&mut self, text: fmt::Arguments<'_>) -> usize {
        let mut held = Held(&mut self.held);
        let to: &mut dyn Write = if self.level == 1 { &mut held } else { &mut *self.out };
        let mut counted = Counted { to, chars: 0 };
        // A full buffer loses what does not fit, see above.
        let _full = counted.write_fmt(text);
        counted.chars
    }

    fn line(&mut self, text: fmt::Arguments<'_>) {
        self.end_line();
        self.raw(format_args!("{text}\n"));
    }

    fn end_line(&mut self) {
        if self.open.take().is_some() {
            self.raw(format_args!("\n"));
        }
    }

    /// A warning, at any level but 0; level 1 does not forget it.
    pub(crate) fn warn(&mut self, text: fmt::Arguments<'_>) {
        match self.level {
            0 => {}
            1 => {
                let _full = writeln!(self.out, "warning: {text}");
            }
            _ => self.line(format_args!("warning: {text}")),
        }
    }

    /// Before anything is explored: functions, and what is live and which loop it is in before each instruction.
    pub(crate) fn shape(&mut self, input: Input<'_>, live: &[u16], loops: &[u32]) {
        if self.level < 2 {
            return;
        }
        for (i, sub) in input.code.subprogs.iter().enumerate() {
            self.line(format_args!("func#{i} @{}", sub.start));
        }
        self.line(format_args!("Live regs before insn:"));
        let insns = &input.code.insns;
        let mut pc = 0;
        while let Some(insn) = insns.get(pc) {
            match loops.get(pc).copied().unwrap_or(0) {
                0 => self.raw(format_args!("    ")),
                n => self.raw(format_args!("{n:3} ")),
            };
            let live = Live(live.get(pc).copied().unwrap_or(0));
            self.line(format_args!("{pc:3}: {live} {}", Disasm::new(insns, pc as u32, &ProgramNames(input))));
            pc += if insn.is_wide() { 2 } else { 1 };
        }
    }

    /// The exploration of a function starts.
    pub(crate) fn function(&mut self, input: Input<'_>, func: u32) {
        if self.level > 0
            && func > 0
            && let Some(sub) = input.code.subprogs.get(func as usize)
        {
            self.line(format_args!("Validating {}() func#{func}...", sub.name.as_str()));
        }
        self.touched = Part::ALL;
        self.from = None;
        self.source = None;
    }

    /// The exploration of a function has found nothing.
    pub(crate) fn function_good(&mut self, input: Input<'_>, func: u32) {
        self.end_line();
        self.held.clear();
        if self.level > 1
            && func > 0
            && let Some(sub) = input.code.subprogs.get(func as usize)
        {
            let name = sub.name.as_str();
            self.line(format_args!("Func#{func} ('{name}') is safe for any args that match its prototype"));
        }
    }

    /// A place in the log to which [`Log::take_up`] may go back.
    pub(crate) fn mark(&self) -> usize {
        self.held.len()
    }

    /// A way that waited is taken up: level 1 forgets what came after its branch.
    pub(crate) fn take_up(&mut self, from: u32, mark: usize) {
        self.end_line();
        self.held.truncate(mark);
        if self.held.last().is_some_and(|b| *b != b'\n') {
            self.raw(format_args!("\n"));
        }
        self.from = Some(from);
        self.touched = Part::ALL;
    }

    /// A path ends at a state that is covered.
    pub(crate) fn covered(&mut self, pc: u32) {
        if self.level > 0 {
            match self.from.take() {
                Some(from) => self.line(format_args!("\nfrom {from} to {pc}: safe")),
                None => self.line(format_args!("{pc}: safe")),
            }
        }
    }

    fn frame(
        &mut self,
        start: fmt::Arguments<'_>,
        input: Input<'_>,
        state: &State,
        depth: usize,
        part: Part,
    ) {
        self.line(format_args!("{start}{}", ShownFrame { input, state, depth, part }));
    }

    /// What was touched since the last state was shown: behind its instruction, or on a line of its own.
    fn state(&mut self, input: Input<'_>, pc: u32, state: &State) {
        let part = core::mem::replace(&mut self.touched, Part::NONE);
        match self.open.take() {
            Some(chars) => {
                let depth = state.depth();
                let shown = ShownFrame { input, state, depth, part };
                self.raw(format_args!("{:1$};{shown}\n", "", column(chars) - chars));
            }
            None => self.frame(format_args!("{pc}:"), input, state, state.depth(), part),
        }
    }

    /// An instruction is processed; before it stands what has not been said of the state.
    pub(crate) fn insn(&mut self, input: Input<'_>, pc: u32, op: &Op, state: &State) {
        if self.level == 0 {
            return;
        }
        if let Some(from) = self.from.take() {
            let start = format_args!("\nfrom {from} to {pc}:");
            self.frame(start, input, state, state.depth(), Part::ALL);
        }
        if self.touched.regs != 0 || self.touched.slots != 0 {
            self.state(input, pc, state);
        }
        let code = input.code;
        if let Some(l) = code.line_at(pc)
            && self.source.replace(l.pc) != Some(l.pc)
        {
            let (text, file) = (code.string(l.text).trim_start(), code.string(l.file));
            self.line(format_args!("{}", Source { text, file, line: l.line }));
        }
        self.end_line();
        let chars = self.raw(format_args!("{pc}: {}", Disasm::new(&code.insns, pc, &ProgramNames(input))));
        self.open = Some(chars);
        self.touched.regs |= touches(op);
    }

    /// A conditional jump is decided or split: the way that goes on first.
    pub(crate) fn jumped(&mut self, input: Input<'_>, pc: u32, state: &State) {
        if self.level > 0 {
            self.state(input, pc, state);
        }
    }

    /// Bytes of some frame's stack are read or written.
    pub(crate) fn stack(&mut self, from: i32, to: i32) {
        if self.level == 0 {
            return;
        }
        for off in from.max(-512)..to.min(0) {
            self.touched.slots |= 1 << ((-off - 1) / 8);
        }
    }

    /// A function was entered.
    pub(crate) fn entered(&mut self, input: Input<'_>, state: &State) {
        self.touched = Part::ALL;
        if self.level > 0 {
            let depth = state.depth();
            self.line(format_args!("caller:"));
            self.frame(format_args!(""), input, state, depth.saturating_sub(1), Part::ALL);
            self.line(format_args!("callee:"));
            self.frame(format_args!(""), input, state, depth, Part::ALL);
        }
    }

    /// A global function is called, which is verified alone.
    pub(crate) fn global(&mut self, input: Input<'_>, func: u32) {
        if self.level > 0
            && let Some(sub) = input.code.subprogs.get(func as usize)
        {
            let name = sub.name.as_str();
            self.line(format_args!("Func#{func} ('{name}') is global and assumed valid."));
        }
    }

    /// A function is left, still in its frame.
    pub(crate) fn leaving(&mut self, input: Input<'_>, state: &State) {
        if self.level > 0 {
            self.line(format_args!("returning from callee:"));
            self.frame(format_args!(""), input, state, state.depth(), Part::ALL);
        }
    }

    /// A function was left by the `exit` at `pc` and goes on at `to`.
    pub(crate) fn left(&mut self, input: Input<'_>, state: &State, pc: u32, to: u32) {
        if self.level > 0 {
            self.line(format_args!("to caller at {to}:"));
            self.frame(format_args!(""), input, state, state.depth(), Part::ALL);
            self.from = Some(pc);
        }
    }

    /// Hands over what is held back.
    pub(crate) fn flush(&mut self) {
        self.end_line();
        if let Ok(text) = core::str::from_utf8(&self.held) {
            let _full = self.out.write_str(text);
        }
        self.held.clear();
    }

    /// The reason of a refusal.
    pub(crate) fn reason(&mut self, text: fmt::Arguments<'_>) {
        self.line(text);
        self.flush();
    }

    /// The kernel's closing line.
    pub(crate) fn closing(&mut self, s: &VerifierStats, limit: u32) {
        if self.level > 0 {
            self.line(format_args!(
                "processed {} insns (limit {limit}) max_states_per_insn {} total_states {} peak_states {} mark_read {}",
                s.insns_processed, s.max_states_per_insn, s.total_states, s.peak_states, s.mark_read
            ));
            self.flush();
        }
    }
}

/// R0 to R9: the number of each that is live, a dot for each that is not.
struct Live(u16);

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..10).try_for_each(|r| match self.0 >> r & 1 {
            1 => write!(f, "{r}"),
            _ => f.write_char('.'),
        })
    }
}

/// Registers that an instruction reads or writes, as far as the log shows them: `exit` ends what could be shown.
fn touches(op: &Op) -> u16 {
    const CALLER_SAVED: u16 = 0x3f;
    let bit = |r: R| 1u16 << r.num();
    let operand = |src: Operand| if let Operand::Reg(r) = src { bit(r) } else { 0 };
    match *op {
        Op::Alu { dst, src, .. } | Op::Mov { dst, src, .. } | Op::Jmp { dst, src, .. } => {
            bit(dst) | operand(src)
        }
        Op::MovSx { dst, src, .. } => bit(dst) | bit(src),
        Op::Neg { dst, .. } | Op::End { dst, .. } | Op::LdImm64 { dst, .. } => bit(dst),
        Op::Load { dst, base, .. } | Op::LoadAcq { dst, base, .. } => bit(dst) | bit(base),
        Op::Store { base, src, .. } => bit(base) | operand(src),
        Op::StoreRel { base, src, .. } => bit(base) | bit(src),
        Op::Atomic { op, base, src, .. } => {
            let r0 = if op == crate::isa::AtomicOp::Cmpxchg { 1 } else { 0 };
            bit(base) | bit(src) | r0
        }
        Op::Call(Callee::Local(_)) | Op::Call(_) => CALLER_SAVED,
        Op::Ja { .. } | Op::Exit | Op::LegacyPacket { .. } => 0,
    }
}
