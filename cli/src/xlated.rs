//! A verified program as engines run it: context loads, map references and calls resolved, what no path reaches left out, and beside each instruction what
//! the verifier proved that a compiler may use.

use std::io::Write;
use uxdp_core::helpers::HelperSet;
use uxdp_core::isa::{Disasm, Insn, Names};
use uxdp_core::program::{CtxField, Edge, Fact, MapSel, MemClass, Program, Rewrite, Verified};

pub(crate) fn write(
    program: &Program<Verified>,
    helpers: HelperSet,
    names: &dyn Names,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let code = program.code();
    let mut pc = 0;
    while let Some(insn) = code.insns.get(pc as usize) {
        if let Some(index) = code.subprogs.iter().position(|s| s.start == pc) {
            let frame = program.rewrites().frames.get(index);
            let (size, clear) = frame.map_or((0, 0), |f| (f.size, f.clear.count_ones()));
            writeln!(out, "{}: stack {size} bytes, {clear} slots cleared", code.subprogs[index].name)?;
        }
        if let Some(source) = names.source(pc) {
            writeln!(out, "{source}")?;
        }
        let rewrite = program.rewrites().insns.get(pc as usize).copied().unwrap_or_default();
        let text = Disasm::new(&code.insns, pc, names);
        let shown = resolved(rewrite, insn, helpers, names).unwrap_or_else(|| text.to_string());
        let notes = notes(rewrite, program.facts().at(pc), names);
        match notes.as_str() {
            "" => writeln!(out, "{pc:4}: {shown}")?,
            notes => writeln!(out, "{pc:4}: {shown:<44} ; {notes}")?,
        }
        pc += if insn.is_wide() { 2 } else { 1 };
    }
    Ok(())
}

/// What a rewrite makes of an instruction; `None` where it stays.
fn resolved(rewrite: Rewrite, insn: &Insn, helpers: HelperSet, names: &dyn Names) -> Option<String> {
    let (code, dst) = (insn.code, insn.dst());
    let map = |index: u32| names.map(index).map_or_else(|| index.to_string(), str::to_owned);
    Some(match rewrite {
        Rewrite::Dead => "(never reached)".into(),
        Rewrite::CtxLoad(field) => format!("({code:02x}) r{dst} = ctx->{}", field_name(field)),
        Rewrite::MapPtr(index) => format!("({code:02x}) r{dst} = map[{}]", map(index)),
        Rewrite::MapValue { map: index, offset } => {
            format!("({code:02x}) r{dst} = map[{}][0]+{offset}", map(index))
        }
        Rewrite::CallHelper { row, .. } => match helpers.get(row) {
            Some(h) => format!("({code:02x}) call {}#{}", h.name, h.id),
            None => format!("({code:02x}) call row {row}"),
        },
        Rewrite::Plain | Rewrite::Func(_) | Rewrite::CallSubprog(_) => return None,
    })
}

fn field_name(field: CtxField) -> &'static str {
    match field {
        CtxField::Data => "data",
        CtxField::DataEnd => "data_end",
        CtxField::DataMeta => "data_meta",
        CtxField::IngressIfindex => "ingress_ifindex",
        CtxField::RxQueueIndex => "rx_queue_index",
        CtxField::EgressIfindex => "egress_ifindex",
    }
}

/// What is known at an instruction, as words.
fn notes(rewrite: Rewrite, fact: Fact, names: &dyn Names) -> String {
    let map = |index: u32| names.map(index).map_or_else(|| index.to_string(), str::to_owned);
    let mut said = Vec::new();
    match rewrite {
        Rewrite::CallHelper { map: MapSel::Known(index), .. } => said.push(format!("map {}", map(index))),
        Rewrite::CallHelper { map: MapSel::Many, .. } => said.push("several maps".into()),
        _ => {}
    }
    match fact.mem {
        MemClass::Unknown => {}
        MemClass::Stack => said.push("stack".into()),
        MemClass::Ctx => said.push("ctx".into()),
        MemClass::Packet => said.push("packet".into()),
        MemClass::Map(index) => said.push(format!("value of {}", map(index))),
        MemClass::MapAny => said.push("value of some map".into()),
    }
    match fact.edge {
        Edge::Both => {}
        Edge::AlwaysTaken => said.push("always taken".into()),
        Edge::NeverTaken => said.push("never taken".into()),
    }
    if let Some(key) = fact.const_key {
        said.push(format!("key {key}"));
    }
    if fact.non_null {
        said.push("never null".into());
    }
    said.join(", ")
}
