//! A refusal for a person to read: the way to it, what was known, what was demanded, and the check that would prove it.
//!
//! Everything comes from the refusal itself ([`super::trail`], [`super::advice`], [`super::remedy`]) and from the program's lines; nothing is verified again.

use super::error::Rejection;
use super::remedy::Remedy;
use super::trail::{Access, Step, Value, Way};
use crate::isa::{Disasm, Names};
use crate::program::Code;
use core::fmt;

/// Shows a refusal of that program, in lines without an indentation. Names of helpers, maps and functions come from `names`.
#[derive(Clone, Copy)]
pub struct Explanation<'a> {
    code: &'a Code,
    rejection: &'a Rejection,
    names: &'a dyn Names,
}

impl<'a> Explanation<'a> {
    /// Of a refusal of `code`.
    pub fn new(code: &'a Code, rejection: &'a Rejection, names: &'a dyn Names) -> Self {
        Explanation { code, rejection, names }
    }

    fn place(&self, f: &mut fmt::Formatter<'_>, pc: u32) -> fmt::Result {
        if let Some(l) = self.code.line_at(pc) {
            let file = self.code.string(l.file);
            let file = file.rsplit('/').next().unwrap_or(file);
            write!(f, "{file}:{}: {}", l.line, self.code.string(l.text).trim())?;
        }
        Ok(())
    }

    fn path(&self, f: &mut fmt::Formatter<'_>, pc: u32) -> fmt::Result {
        let trail = self.rejection.trail();
        writeln!(f, "the path:")?;
        if trail.left_out > 0 {
            writeln!(f, "  ({} branches before these)", trail.left_out)?;
        }
        let (mut last, mut at) = (None, 0);
        while let Some(rest) = trail.steps.get(at..).filter(|r| !r.is_empty()) {
            let (length, times) = repeated(rest);
            for step in &rest[..length] {
                self.step(f, *step, &mut last)?;
            }
            if times > 1 {
                writeln!(f, "      (these {length}, {} times more)", times - 1)?;
            }
            at += length * times;
        }
        if self.code.line_at(pc).is_some() {
            f.write_str("  ")?;
            self.place(f, pc)?;
            writeln!(f)?;
        }
        writeln!(f, "    {pc}: {}: refused", Disasm::new(&self.code.insns, pc, self.names))
    }

    fn step(&self, f: &mut fmt::Formatter<'_>, step: Step, last: &mut Option<(u32, u32)>) -> fmt::Result {
        if let Some(l) = self.code.line_at(step.pc)
            && last.replace((l.file, l.line)) != Some((l.file, l.line))
        {
            f.write_str("  ")?;
            self.place(f, step.pc)?;
            writeln!(f)?;
        }
        let way = match step.way {
            Way::Taken => "taken",
            Way::NotTaken => "not taken",
            Way::Called => "entered",
            Way::Returned => "back to the caller",
        };
        writeln!(f, "    {}: {}: {way}", step.pc, Disasm::new(&self.code.insns, step.pc, self.names))
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (r, trail) = (self.rejection, self.rejection.trail());
        if let Some(pc) = r.pc {
            self.path(f, pc)?;
        }
        if !trail.values.is_empty() {
            writeln!(f, "known there:")?;
            trail.values.iter().try_for_each(|v| writeln!(f, "  {v}"))?;
        }
        writeln!(f, "demanded:\n  {}", r.error.demand())?;
        if let Some(a) = trail.access {
            here(f, &a, trail.value(a.reg))?;
        }
        if let Some(check) = r.remedy() {
            writeln!(f, "this would prove it:")?;
            lines(f, &check)?;
        }
        writeln!(f, "what to do:\n  {}", r.error.advice())
    }
}

/// Most branches of a loop that are told once for all its rounds.
const ROUND: usize = 8;

/// How many of the first steps come again, and how often they stand there in a row: at least one, once.
fn repeated(steps: &[Step]) -> (usize, usize) {
    for length in 1..=ROUND.min(steps.len() / 3) {
        let round = steps.get(..length);
        let times = steps.chunks_exact(length).take_while(|c| Some(*c) == round).count();
        if times > 2 {
            return (length, times);
        }
    }
    (1, 1)
}

/// The access at hand: where, and which bytes those are counted from the base.
fn here(f: &mut fmt::Formatter<'_>, a: &Access, through: Option<&Value>) -> fmt::Result {
    let bytes = if a.size == 1 { "byte" } else { "bytes" };
    write!(f, "  here: {} {bytes} at r{} {:+}", a.size, a.reg, a.off)?;
    if let Some(v) = through
        && let Some(base) = v.base.name()
        && let (low, high) = v.span()
        && let (Some(first), Some(last)) =
            (low.checked_add(a.off.into()), high.checked_add(i64::from(a.off) + i64::from(a.size) - 1))
    {
        match first == last {
            true => write!(f, ", which is {first} from {base}")?,
            false => write!(f, ", which may be {first} to {last} from {base}")?,
        }
    }
    writeln!(f)
}

/// Each line of a check, indented.
fn lines(f: &mut fmt::Formatter<'_>, check: &Remedy) -> fmt::Result {
    use fmt::Write;
    /// Puts an indentation before each line.
    struct Indented<'a, 'f>(&'a mut fmt::Formatter<'f>);
    impl Write for Indented<'_, '_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for (i, part) in text.split('\n').enumerate() {
                if i > 0 {
                    self.0.write_str("\n  ")?;
                }
                self.0.write_str(part)?;
            }
            Ok(())
        }
    }
    f.write_str("  ")?;
    write!(Indented(f), "{check}")?;
    writeln!(f)
}
