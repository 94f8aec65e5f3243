//! Linking: one program, its main function first, every function that it reaches behind it.
//!
//! A function is appended where it is met first, and its own references are followed before the rest of its caller's: the order that
//! libbpf gives, so that both show the same program. An exception callback, which nothing calls, comes last. Calls and function addresses become relative. Lines of source and the table of
//! functions follow the instructions. Bounded by the kernel's limits on functions and instructions.

use super::Object;
use super::btf_match::essential;
use super::error::{ObjectError, Result};
use super::ext::LineInfo;
use super::reloc::{Extern, ExternKind};
use super::section::{Function, TEXT, Target, Text, function_at};
use crate::helpers::{HelperSet, KFUNC_BASE, kernel_only_kfunc};
use crate::isa::{Insn, op};
use crate::limits::{BPF_COMPLEXITY_LIMIT_INSNS, BPF_MAX_SUBPROGS};
use crate::mem::{String, Vec};
use crate::program::{Code, Line, POISON_KFUNC, Subprog, Unresolved};

/// Bytes of a source line or file name that are kept.
const MAX_TEXT: usize = 256;

/// One function in the linked program.
struct Placed {
    function: usize,
    start: u32,
}

struct Linker<'o> {
    object: &'o Object,
    helpers: HelperSet,
    insns: Vec<Insn>,
    placed: Vec<Placed>,
    unresolved: Vec<Unresolved>,
}

/// Links the program whose main function has that index, into `code`, for an environment that has these helpers.
pub(crate) fn link(object: &Object, main: usize, helpers: HelperSet, code: &mut Code) -> Result<()> {
    let mut linker =
        Linker { object, helpers, insns: Vec::new(), placed: Vec::new(), unresolved: Vec::new() };
    linker.place(main)?;
    linker.follow(0)?;
    if let Some(callback) = exception_callback(object, main)?
        && !linker.placed.iter().any(|p| p.function == callback)
    {
        let placed = linker.place(callback)?;
        linker.follow(placed)?;
    }
    linker.finish(code)
}

/// The function that runs where the program throws, by its name; it has to be a global one of `.text`.
fn exception_callback(object: &Object, main: usize) -> Result<Option<usize>> {
    let Some(main) = object.functions.get(main) else { return Ok(None) };
    let Some(name) = main.exception_callback.as_deref() else { return Ok(None) };
    let in_text = |f: &Function| object.texts.get(f.text).is_some_and(|t| t.name.as_str() == TEXT);
    let found = object.functions.iter().position(|f| f.global && f.name.as_str() == name && in_text(f));
    found.map(Some).ok_or_else(|| ObjectError::undefined("an exception callback is not defined").named(name))
}

enum Step {
    /// The function has no such slot.
    End,
    /// Done with the instruction; it takes that many slots.
    Next(u32),
    /// As `Next`, and this function was appended just now.
    Enter(usize, u32),
}

impl<'o> Linker<'o> {
    /// Resolves every reference of a placed function, and of those that it brings in.
    fn follow(&mut self, first: usize) -> Result<()> {
        // The functions whose slots are being looked at, innermost last, each with its next slot.
        let mut open = Vec::new();
        open.push((first, 0u32))?;
        while let Some(&mut (index, ref mut next)) = open.last_mut() {
            let slot = *next;
            match self.step(index, slot)? {
                Step::End => {
                    open.pop();
                }
                Step::Next(width) => *next += width,
                Step::Enter(callee, width) => {
                    *next += width;
                    open.push((callee, 0))?;
                }
            }
        }
        Ok(())
    }

    fn parts(&self, index: usize) -> Option<(&'o Function, &'o Text, u32)> {
        let placed = self.placed.get(index)?;
        let function = self.object.functions.get(placed.function)?;
        Some((function, self.object.texts.get(function.text)?, placed.start))
    }

    /// Appends a function and returns its index among the placed ones.
    fn place(&mut self, function: usize) -> Result<usize> {
        let missing = || ObjectError::malformed("a function is missing");
        let f = self.object.functions.get(function).ok_or_else(missing)?;
        let text = self.object.texts.get(f.text).ok_or_else(missing)?;
        let at = |e: ObjectError| e.at(&text.name, u64::from(f.start) * 8).named(&f.name);
        let body = text.insns.get(f.start as usize..f.end as usize).ok_or_else(missing)?;
        if self.placed.len() >= BPF_MAX_SUBPROGS {
            return Err(at(ObjectError::too_big("the program has too many functions")));
        }
        if self.insns.len() + body.len() > BPF_COMPLEXITY_LIMIT_INSNS as usize {
            return Err(at(ObjectError::too_big("the program has too many instructions")));
        }
        self.placed.push(Placed { function, start: self.insns.len() as u32 })?;
        self.insns.extend_from_slice(body)?;
        Ok(self.placed.len() - 1)
    }

    /// Resolves the reference at one slot of a placed function, if there is one.
    fn step(&mut self, index: usize, slot: u32) -> Result<Step> {
        let Some((function, text, start)) = self.parts(index) else { return Ok(Step::End) };
        let source = function.start + slot;
        if source >= function.end {
            return Ok(Step::End);
        }
        let Some(&insn) = text.insns.get(source as usize) else { return Ok(Step::End) };
        if let Some(fault) = text.fault_at(source) {
            return Err(fault);
        }
        let width = if insn.is_wide() { 2 } else { 1 };
        let at = |e: ObjectError| e.at(&text.name, u64::from(source) * 8);
        let target = match text.refs.binary_search_by_key(&source, |r| r.slot).ok() {
            Some(found) => text.refs.get(found).map(|r| r.target),
            None if insn.code == op::BPF_JMP | op::BPF_CALL && insn.src() == op::BPF_PSEUDO_CALL => {
                Some(near(self.object, function.text, source, insn).map_err(at)?)
            }
            None => None,
        };
        let pc = start + slot;
        match target {
            None => Ok(Step::Next(width)),
            Some(Target::Extern(e)) => {
                self.external(pc, insn, e).map_err(at)?;
                Ok(Step::Next(width))
            }
            Some(Target::Function(callee)) => {
                let known = self.placed.iter().position(|p| p.function == callee);
                let (placed, new) = match known {
                    Some(placed) => (placed, false),
                    None => (self.place(callee)?, true),
                };
                let to = self.placed.get(placed).map_or(0, |p| p.start);
                self.point(pc, insn, to);
                Ok(if new { Step::Enter(placed, width) } else { Step::Next(width) })
            }
        }
    }

    /// Makes the call or the wide immediate at `pc` refer to the function at `to`.
    fn point(&mut self, pc: u32, insn: Insn, to: u32) {
        let Some(word) = self.insns.get_mut(pc as usize) else { return };
        word.imm = to as i32 - pc as i32 - 1;
        if insn.is_wide() {
            word.regs = insn.dst() | op::BPF_PSEUDO_FUNC << 4;
            if let Some(second) = self.insns.get_mut(pc as usize + 1) {
                second.imm = 0;
            }
        }
    }

    /// Resolves a reference to a symbol that the object does not define. A kernel function that is known has a number of its own
    /// ([`KFUNC_BASE`]), a host's helper is called by its number; a call of one that is not known keeps its index among the object's symbols, so that the refusal can name it.
    fn external(&mut self, pc: u32, insn: Insn, index: usize) -> Result<()> {
        let Some(symbol) = self.object.externs.get(index) else { return Ok(()) };
        let known = match symbol.kind {
            ExternKind::Kfunc => {
                let name = essential(&symbol.name);
                self.helpers.named(name).or_else(|| kernel_only_kfunc(name).filter(|_| !symbol.weak))
            }
            _ => None,
        };
        let wide = insn.is_wide();
        let constant = |imm: i32| Insn::new(insn.code, insn.dst(), 0, 0, imm);
        let call = |number: i32| Insn::new(insn.code, 0, op::BPF_PSEUDO_KFUNC_CALL, 0, number);
        let helper = |number: i32| Insn::new(insn.code, 0, 0, 0, number);
        let word = match (symbol.kind, known, symbol.weak) {
            (ExternKind::Kconfig, ..) => {
                return Err(refuse(symbol, "configuration values (.kconfig) are not supported"));
            }
            // Whether it is there (`bpf_ksym_exists`) is asked by its address: some number, or zero.
            (_, Some(number), true) if wide => constant(number as i32),
            (_, None, true) if wide => constant(0),
            (ExternKind::Kfunc, Some(number), _) if !wide && number < KFUNC_BASE => helper(number as i32),
            (ExternKind::Kfunc, Some(number), _) if !wide => call(number as i32),
            (ExternKind::Kfunc, None, true) => {
                self.note(pc, symbol, "' is referenced but wasn't resolved")?;
                Insn::new(insn.code, 0, 0, 0, POISON_KFUNC + index as i32)
            }
            (ExternKind::Kfunc, None, false) if !wide => {
                self.note(
                    pc,
                    symbol,
                    "' is neither a kernel function of this version nor a helper of the host",
                )?;
                call(index as i32)
            }
            (ExternKind::Kfunc | ExternKind::Ksym, ..) => {
                return Err(refuse(symbol, "addresses of kernel symbols are not supported"));
            }
            _ => return Err(ObjectError::undefined("a symbol is not defined").named(&symbol.name)),
        };
        if let Some(first) = self.insns.get_mut(pc as usize) {
            *first = word;
        }
        if let Some(second) = self.insns.get_mut(pc as usize + 1).filter(|_| wide) {
            second.imm = 0;
        }
        Ok(())
    }

    /// Notes what there is to say of a call that leads nowhere.
    fn note(&mut self, pc: u32, symbol: &Extern, what: &str) -> Result<()> {
        let mut why = String::from_text("kfunc '")?;
        why.push_str(&symbol.name)?;
        why.push_str(what)?;
        Ok(self.unresolved.push(Unresolved { pc, why })?)
    }

    /// Notes the instructions of the placed functions that CO-RE poisoned.
    fn poisons(&mut self) -> Result<()> {
        for placed in self.placed.iter() {
            let Some(f) = self.object.functions.get(placed.function) else { continue };
            let poisons = self.object.texts.get(f.text).map_or(&[][..], |t| &t.poisons);
            let from = poisons.partition_point(|p| p.slot < f.start);
            let inside = poisons.iter().skip(from).take_while(|p| p.slot < f.end);
            for poison in inside {
                let pc = poison.slot - f.start + placed.start;
                self.unresolved.push(Unresolved { pc, why: poison.why.try_clone()? })?;
            }
        }
        self.unresolved.sort_unstable_by_key(|u| u.pc);
        Ok(())
    }

    fn finish(mut self, code: &mut Code) -> Result<()> {
        self.poisons()?;
        code.unresolved = self.unresolved;
        let ends = self.placed.iter().skip(1).map(|p| p.start).chain([self.insns.len() as u32]);
        for (placed, end) in self.placed.iter().zip(ends) {
            let Some(f) = self.object.functions.get(placed.function) else { continue };
            let (start, global) = (placed.start, f.global);
            let name = f.name.try_clone()?;
            code.subprogs.push(Subprog { name, start, end, global, signature: f.signature })?;
        }
        lines(self.object, &self.placed, code)?;
        code.insns = self.insns;
        Ok(())
    }
}

fn refuse(symbol: &Extern, what: &'static str) -> ObjectError {
    ObjectError::not_supported(what).named(&symbol.name)
}

/// The target of a call without a relocation: a function of the same section.
fn near(object: &Object, text: usize, source: u32, insn: Insn) -> Result<Target> {
    let to = i64::from(source) + 1 + i64::from(insn.imm);
    let found = u32::try_from(to).ok().and_then(|to| function_at(&object.functions, text, to));
    found
        .map(Target::Function)
        .ok_or_else(|| ObjectError::malformed("no function starts where the call goes"))
}

/// The source lines of all placed functions, and the texts that they use.
fn lines(object: &Object, placed: &[Placed], code: &mut Code) -> Result<()> {
    let mut texts: Vec<u32> = Vec::new();
    for (_, line) in line_infos(object, placed) {
        texts.push(line.file)?;
        texts.push(line.text)?;
    }
    texts.sort_unstable();
    let mut unique: Vec<u32> = Vec::new();
    for &offset in texts.iter() {
        if unique.last() != Some(&offset) {
            unique.push(offset)?;
        }
    }
    for &offset in unique.iter() {
        code.strings.push(String::from_text(text_at(&object.strings, offset))?)?;
    }
    let index = |offset: u32| unique.binary_search(&offset).unwrap_or(0) as u32;
    for (pc, info) in line_infos(object, placed) {
        code.lines.push(Line {
            pc,
            file: index(info.file),
            text: index(info.text),
            line: info.line_col >> 10,
            column: info.line_col & 0x3ff,
        })?;
    }
    Ok(())
}

/// Every line of the linked program with its pc, in order.
fn line_infos<'o>(object: &'o Object, placed: &'o [Placed]) -> impl Iterator<Item = (u32, LineInfo)> + 'o {
    placed.iter().flat_map(move |p| {
        let function = object.functions.get(p.function);
        let lines = function.and_then(|f| object.texts.get(f.text)).map_or(&[][..], |t| &t.lines);
        let (start, end) = function.map_or((0, 0), |f| (f.start, f.end));
        let from = lines.partition_point(|l| l.slot < start);
        let to = lines.partition_point(|l| l.slot < end);
        lines.get(from..to).unwrap_or(&[]).iter().map(move |l| (l.slot - start + p.start, *l))
    })
}

/// The string at an offset without its indentation, cut to a bound and to what is UTF-8.
fn text_at(strings: &[u8], offset: u32) -> &str {
    let tail = strings.get(offset as usize..).unwrap_or(&[]).trim_ascii_start();
    let tail = tail.get(..MAX_TEXT).unwrap_or(tail);
    let tail = tail.get(..memchr::memchr(0, tail).unwrap_or(tail.len())).unwrap_or(&[]);
    match core::str::from_utf8(tail) {
        Ok(text) => text,
        Err(e) => tail.get(..e.valid_up_to()).and_then(|t| core::str::from_utf8(t).ok()).unwrap_or(""),
    }
}
