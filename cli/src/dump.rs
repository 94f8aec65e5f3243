//! `uxdp dump`: a program in one of its forms, with source lines between.

use crate::args::{Dump, EngineArg, Form};
use crate::engine;
use crate::native::{self, Style};
use crate::outcome::{Machine, Verdict};
use crate::source::Lines;
use crate::xlated;
use anyhow::Result;
use std::io::Write;
use uxdp_control::session::{self, Session};
use uxdp_core::ir::Module;
use uxdp_core::isa::Listing;
use uxdp_core::jit;
use uxdp_core::object::ObjectNames;
use uxdp_core::program::Code;
use uxdp_core::vm::compile_options;

pub(crate) fn run(args: &Dump, out: &mut dyn Write) -> Result<Verdict> {
    let (file, name) = (&args.which.file, args.which.prog.as_deref());
    if args.form == Form::Bpf {
        let object = session::open_object(file)?;
        let shown = file.display().to_string();
        let program = session::link(&object, session::choose(&object, name, &shown)?, &shown)?;
        let names = ObjectNames::new(&object, program.code());
        write!(out, "{}", Listing::new(&program.code().insns, &names))?;
        return Ok(Verdict::Good);
    }
    let asked = if matches!(args.form, Form::Asm | Form::Jited) { EngineArg::Jit } else { EngineArg::Interp };
    let session = Session::open(file, None, engine::choice(asked))?;
    let ready = session.program(session.choose(name)?)?;
    engine::check(Some(asked), &ready.prog)?;
    let (program, helpers) = (ready.prog.program(), session.env().helpers());
    match args.form {
        Form::Bpf => {}
        Form::Xlated => {
            let names = ObjectNames::new(session.object(), program.code());
            xlated::write(program, helpers, &names, out)?;
        }
        Form::Ir => {
            let module = jit::optimised(program, &compile_options(session.env()))
                .map_err(|e| Machine(format!("\"{}\" is not compiled: {e}", program.name())))?;
            ir(&module, program.code(), out)?;
        }
        Form::Asm | Form::Jited => {
            let style = if args.form == Form::Asm { Style::Labels } else { Style::Bytes };
            if let Some(code) = ready.prog.engine().code() {
                native::write(code, program.code(), helpers, style, out)?;
            }
        }
    }
    Ok(Verdict::Good)
}

/// The IR with source lines: blocks as [`Module`] shows them.
fn ir(module: &Module, code: &Code, out: &mut dyn Write) -> std::io::Result<()> {
    for func in &module.funcs {
        let name = code.subprogs.get(func.index as usize).map_or("?", |s| s.name.as_str());
        writeln!(out, "func {name} frame {} {{", func.frame.size)?;
        for (block, data) in func.live_blocks() {
            let params: Vec<String> = data.params.iter().map(ToString::to_string).collect();
            match params.as_slice() {
                [] => writeln!(out, "block{}:", block.0)?,
                params => writeln!(out, "block{}({}):", block.0, params.join(", "))?,
            }
            let mut lines = Lines::new(code);
            for &inst in &data.insts {
                let inst = &func.insts[inst.0 as usize];
                lines.at(inst.pc, out)?;
                match inst.result {
                    Some(value) => writeln!(out, "    {value} = {inst}")?,
                    None => writeln!(out, "    {inst}")?,
                }
            }
            writeln!(out, "    {}", data.term)?;
        }
        writeln!(out, "}}")?;
    }
    Ok(())
}
