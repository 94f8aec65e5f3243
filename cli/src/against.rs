//! `uxdp run --against kernel`: what Linux makes of the same packets, compared.
//!
//! Built with the cargo feature `kernel` alone; without it, and where bpf(2) is not permitted, one line says so.

use crate::args::{EngineArg, Run};
use crate::outcome::{Machine, Verdict, note};
use crate::packets::Packet;
use anyhow::Result;
use std::io::Write;
use uxdp_core::vm::EngineChoice;

/// The engines that are compared: the one asked for, or each.
fn engines(asked: Option<EngineArg>) -> Vec<EngineChoice> {
    match asked {
        Some(one) => vec![crate::engine::choice(one)],
        None => vec![EngineChoice::Best, EngineChoice::Interp],
    }
}

/// Says that nothing was compared; where CI has to compare, that is an error.
fn not_compared(why: &str) -> Result<Verdict> {
    let why = format!("not compared with Linux: {why}");
    if std::env::var_os("CI").is_some() {
        return Err(Machine(why).into());
    }
    note(&why);
    Ok(Verdict::Good)
}

#[cfg(not(feature = "kernel"))]
pub(crate) fn run(args: &Run, _packets: Vec<Packet>, _out: &mut dyn Write) -> Result<Verdict> {
    let _ = engines(args.engine);
    not_compared("this uxdp was built without the feature \"kernel\" (cargo build --features kernel)")
}

#[cfg(feature = "kernel")]
pub(crate) fn run(args: &Run, packets: Vec<Packet>, out: &mut dyn Write) -> Result<Verdict> {
    judged::run(args, packets, out)
}

#[cfg(feature = "kernel")]
mod judged {
    use super::{Machine, Packet, Result, Run, Verdict, Write, engines, not_compared};
    use crate::args::CtxFieldArg;
    use std::path::Path;
    use uxdp_kernel::{Case, Input, Masks, Report, can_ask, judge};

    pub(super) fn run(args: &Run, packets: Vec<Packet>, out: &mut dyn Write) -> Result<Verdict> {
        if !can_ask() {
            return not_compared("bpf(2) is not permitted");
        }
        let (file, engines) = (&args.which.file, engines(args.engine));
        let case = Case {
            file,
            program: args.which.prog.as_deref(),
            maps: args.maps.as_deref(),
            engines: &engines,
            masks: masks(file, args.which.prog.as_deref())?,
        };
        let ingress = args.ctx.iter().find(|(f, _)| *f == CtxFieldArg::IngressIfindex).map_or(0, |(_, n)| *n);
        let inputs = packets
            .into_iter()
            .flat_map(|p| std::iter::repeat_n(p.bytes, args.repeat as usize))
            .map(|packet| Input { packet, ingress });
        let report =
            judge(case, inputs).map_err(|e| match e.downcast::<uxdp_control::session::SessionError>() {
                Ok(ours) => ours.into(),
                Err(e) => anyhow::Error::from(Machine(format!("{e:#}"))),
            })?;
        if args.json {
            serde_json::to_writer(&mut *out, &report)?;
            writeln!(out)?;
        } else {
            show(&file.display().to_string(), &report, out)?;
        }
        Ok(if report.differences == 0 { Verdict::Good } else { Verdict::Refused })
    }

    /// `masks.json` of the folder that the object's folder is in, where there is one: that of xdp_progs.
    fn masks(file: &Path, program: Option<&str>) -> Result<Masks> {
        let name = program.or_else(|| file.file_stem()?.to_str()).unwrap_or_default();
        for folder in file.ancestors().skip(1).take(3) {
            let masks = folder.join("masks.json");
            if masks.is_file() {
                return Masks::read(&masks, name);
            }
        }
        Ok(Masks::default())
    }

    fn show(file: &str, report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
        let engines = report.engines.join(", ");
        write!(
            out,
            "{file}, program {}: {} packets on Linux and on {engines}",
            report.program, report.packets
        )?;
        if report.left_out != 0 {
            write!(out, " ({} left out: Linux takes 14 to 3520 bytes in a test run)", report.left_out)?;
        }
        let verdict = match report.differences {
            0 => "no difference".to_owned(),
            1 => "1 difference".to_owned(),
            n => format!("{n} differences"),
        };
        writeln!(out, ": {verdict}")?;
        for first in &report.first {
            match first.packet {
                Some(n) => writeln!(
                    out,
                    "{}, packet {}, the first that differs (Linux, uxdp):",
                    first.engine,
                    n + 1
                )?,
                None => writeln!(out, "{}, maps after the last packet (Linux, uxdp):", first.engine)?,
            }
            for line in &first.lines {
                writeln!(out, "  {line}")?;
            }
            if !first.input.is_empty() {
                writeln!(out, "  again: --data-in hex:{}", first.input)?;
            }
        }
        writeln!(
            out,
            "compared: action, bytes, metadata, {} records; maps: {}",
            report.records,
            list(&report.maps)
        )?;
        for mask in &report.masks {
            writeln!(out, "masked: {mask}")?;
        }
        Ok(())
    }

    fn list(names: &[String]) -> String {
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }
}
