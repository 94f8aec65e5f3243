//! Constant text and formats among the arguments: the text ends within a map that nobody can write, and a format of `bpf_snprintf` is one for its arguments.
//!
//! Kernel: `check_reg_const_str` and `check_bpf_snprintf_call`. As there, the formats of `bpf_trace_printk` and `bpf_trace_vprintk`, which need not be constant, are
//! judged when they are called alone.

use super::error::VerifierError as E;
use super::explore::Verifier;
use super::reg::{Kind, Reg};
use super::state::State;
use crate::helpers::{self, Helper};
use crate::isa::Reg as R;
use crate::maps::spec::flags::BPF_F_RDONLY_PROG;

impl Verifier<'_, '_, '_> {
    /// Constant text, terminated, in a map that nobody can write; without its NUL.
    pub(crate) fn text(&self, reg: &Reg, num: u8) -> Result<&[u8], E> {
        let refused = E::NotConstStr { reg: num };
        let Kind::MapValue(map) = reg.kind else {
            return Err(E::ArgType { reg: num, kind: reg.kind.name(), expected: "map_value" });
        };
        let info = self.input.map(map).ok_or(E::Internal { what: "map index" })?;
        let at = i64::from(reg.off) + reg.var.known().ok_or(refused)? as i64;
        let bytes = info.frozen.filter(|_| info.spec.flags & BPF_F_RDONLY_PROG != 0).ok_or(refused)?;
        let at = usize::try_from(at).map_err(|_| refused)?;
        let text = bytes.get(at..bytes.len().min(info.spec.value_size as usize)).ok_or(refused)?;
        let end = text.iter().position(|&b| b == 0).ok_or(refused)?;
        text.get(..end).ok_or(refused)
    }

    /// The format of a call of `bpf_snprintf` (R3), for as many arguments as R5 has bytes of them.
    pub(crate) fn format(&self, state: &State, helper: &'static Helper) -> Result<(), E> {
        if helper.id != helpers::SNPRINTF.id {
            return Ok(());
        }
        // Kernel: where the size is not known, the bits of it that are; so here.
        let bytes = state.reg(R::R5).var.tnum().value();
        if !bytes.is_multiple_of(8) {
            return Err(E::FormatArguments { size: bytes });
        }
        let format = self.text(state.reg(R::R3), R::R3.num())?;
        helpers::check_format(format, (bytes / 8) as usize).map_err(|_| E::InvalidFormat)
    }
}
