//! Machine code as text: with labels, or with offsets and bytes; source lines between, helpers by name.

use crate::source::Lines;
use iced_x86::{
    Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter, SymbolResolver, SymbolResult,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use uxdp_core::helpers::HelperSet;
use uxdp_core::jit::exec::ExecCode;
use uxdp_core::program::Code;

/// How machine code is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As an assembler would take it: labels, no addresses.
    Labels,
    /// As memory has it: offset, bytes, instruction, and the pc it comes from.
    Bytes,
}

/// Bytes of the longest instruction of x86-64 that code has, for the column's width.
const BYTES: usize = 10;

#[cfg(target_arch = "x86_64")]
pub(crate) fn write(
    native: &ExecCode<'_>,
    code: &Code,
    helpers: HelperSet,
    style: Style,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let bytes = native.code();
    let base = bytes.as_ptr().addr() as u64;
    let insts: Vec<Instruction> =
        Decoder::with_ip(64, bytes, base, DecoderOptions::NONE).into_iter().collect();
    let inside = base..base + bytes.len() as u64;
    let targets: BTreeSet<u64> =
        insts.iter().map(Instruction::near_branch_target).filter(|t| inside.contains(t)).collect();
    let labels: BTreeMap<u64, String> =
        targets.into_iter().enumerate().map(|(n, target)| (target, format!(".L{n}"))).collect();
    let mut names: BTreeMap<u64, String> =
        helpers.rows().iter().filter_map(|h| Some((h.func? as usize as u64, h.name.to_owned()))).collect();
    match style {
        Style::Labels => names.extend(labels.clone()),
        Style::Bytes => names.extend(labels.keys().map(|&t| (t, format!("{:#x}", t - base)))),
    }
    let mut formatter = IntelFormatter::with_options(Some(Box::new(Symbols(names))), None);
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");

    let mut lines = Lines::new(code);
    let mut text = String::new();
    let mut last = None;
    for inst in &insts {
        let offset = (inst.ip() - base) as u32;
        for f in native.funcs().iter().filter(|f| f.start == offset) {
            let name = code.subprogs.get(f.func as usize).map_or("?", |s| s.name.as_str());
            writeln!(out, "{name}: ; {} bytes, native frame {} bytes", f.end - f.start, f.frame)?;
        }
        let after = native.pcs().partition_point(|p| p.0 <= offset);
        let pc = after.checked_sub(1).and_then(|i| native.pcs().get(i)).map(|p| p.1);
        if let Some(pc) = pc {
            lines.at(pc, out)?;
        }
        if let (Style::Labels, Some(label)) = (style, labels.get(&inst.ip())) {
            writeln!(out, "{label}:")?;
        }
        text.clear();
        formatter.format(inst, &mut text);
        match style {
            Style::Labels => writeln!(out, "    {text}")?,
            Style::Bytes => {
                let at = offset as usize;
                let hex: Vec<String> =
                    bytes[at..at + inst.len()].iter().map(|b| format!("{b:02x}")).collect();
                let from = if pc == last {
                    String::new()
                } else {
                    pc.map_or(String::new(), |p| format!("; insn {p}"))
                };
                let shown =
                    format!("{offset:5x}:  {:<width$}  {text:<40} {from}", hex.join(" "), width = 3 * BYTES);
                writeln!(out, "{}", shown.trim_end())?;
            }
        }
        last = pc;
    }
    Ok(())
}

/// Without a disassembler for this machine: the bytes.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn write(
    native: &ExecCode<'_>,
    code: &Code,
    _helpers: HelperSet,
    _style: Style,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut lines = Lines::new(code);
    let ends = native.pcs().iter().skip(1).map(|p| p.0 as usize).chain([native.code().len()]);
    for (&(start, pc), end) in native.pcs().iter().zip(ends) {
        lines.at(pc, out)?;
        let hex: Vec<String> =
            native.code()[start as usize..end].iter().map(|b| format!("{b:02x}")).collect();
        writeln!(out, "{start:5x}:  {}", hex.join(" "))?;
    }
    Ok(())
}

/// Names for addresses.
struct Symbols(BTreeMap<u64, String>);

impl SymbolResolver for Symbols {
    fn symbol(
        &mut self,
        _: &Instruction,
        _: u32,
        _: Option<u32>,
        address: u64,
        _: u32,
    ) -> Option<SymbolResult<'_>> {
        self.0.get(&address).map(|name| SymbolResult::with_str(address, name))
    }
}
