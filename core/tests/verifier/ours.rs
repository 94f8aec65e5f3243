//! Our verifier's verdict, for maps that are only described.

use crate::asm::Assembled;
use uxdp_core::error::Status;
use uxdp_core::helpers::STANDARD;
use uxdp_core::isa::NoNames;
use uxdp_core::maps::MapSpec;
use uxdp_core::mem::{String as Text, Vec as List};
use uxdp_core::program::{AttachType, Code, Subprog};
use uxdp_core::verifier::{Explanation, MapInfo, Rejection, VerifyOptions, judge};

/// What our verifier says of a program.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted,
    /// The errno and the reason.
    Refused(i32, String),
}

/// Judges a program that stands in a section of that kind.
pub(crate) fn verify(program: &Assembled, maps: &[MapSpec], attach: AttachType) -> Verdict {
    match judged(&code(program, attach), maps) {
        Ok(()) => Verdict::Accepted,
        Err(e) => Verdict::Refused(e.errno().0, e.to_string()),
    }
}

/// The explanation of a refusal.
pub(crate) fn explain(program: &Assembled, maps: &[MapSpec], attach: AttachType) -> String {
    let code = code(program, attach);
    let rejection = judged(&code, maps).expect_err("an unsafe program");
    format!("{rejection}\n{}", Explanation::new(&code, &rejection, &NoNames))
}

fn judged(code: &Code, maps: &[MapSpec]) -> Result<(), Rejection> {
    let frozen: Vec<_> =
        maps.iter().map(|m| crate::maps::is_frozen(m).then(|| crate::maps::rodata(m))).collect();
    let infos = maps.iter().zip(&frozen);
    let infos = infos.map(|(spec, frozen)| MapInfo { spec: *spec, name: "m", frozen: frozen.as_deref() });
    let infos: Vec<_> = infos.collect();
    judge(code, &infos, STANDARD, &VerifyOptions::default(), &mut String::new()).map(|_| ())
}

/// A program as the loader of objects would have made it.
pub(crate) fn code(program: &Assembled, attach: AttachType) -> Code {
    let mut code = Code {
        name: Text::from_text("main").unwrap(),
        section: Text::from_text("xdp").unwrap(),
        attach,
        ..Code::default()
    };
    code.insns = List::from_slice(&program.insns).unwrap();
    let ends = program.functions.iter().skip(1).map(|f| f.start).chain([program.insns.len() as u32]);
    for (function, end) in program.functions.iter().zip(ends) {
        let (name, start) = (Text::from_text(&function.name).unwrap(), function.start);
        let (global, signature) = (function.signature.is_some(), function.signature);
        code.subprogs.push(Subprog { name, start, end, global, signature }).unwrap();
    }
    code
}
