//! How a program wants to run beside others: what libxdp's `XDP_RUN_CONFIG` leaves in the object.
//!
//! A variable `_NAME` in `.xdp_run_config` whose struct type carries numbers as map definitions do: `priority`, and for each action whether the next program runs
//! after it. What is not said is libxdp's default. The section has no bytes that matter; without BTF there is nothing to read.

use super::btf::{Btf, Kind};
use super::error::{ObjectError, Result};
use super::maps::number;
use crate::program::RunConfig;

const SECTION: &str = ".xdp_run_config";
/// By their codes.
const ACTIONS: [&str; 5] = ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"];

/// The configuration of the program with that name.
pub(super) fn of(btf: &Btf<'_>, program: &str) -> Result<RunConfig> {
    let mut config = RunConfig::default();
    let Some(datasec) = btf.datasec(SECTION)? else { return Ok(config) };
    for member in btf.members(&datasec) {
        let var = btf.ty(member.type_id)?;
        if var.kind != Kind::Var || btf.name(&var).strip_prefix('_') != Some(program) {
            continue;
        }
        let (_, ty) = btf.plain(var.size_or_type)?;
        for field in btf.members(&ty) {
            let at = |e: ObjectError| e.at(SECTION, 0).named(field.name);
            let value = number(btf, field.type_id).map_err(at)?;
            if field.name == "priority" {
                config.priority = u32::try_from(value)
                    .map_err(|_| at(ObjectError::too_big("the priority is too large")))?;
                continue;
            }
            let action = ACTIONS.iter().position(|a| *a == field.name);
            let action =
                action.ok_or_else(|| at(ObjectError::malformed("neither a priority nor an action")))?;
            let bit = 1 << action;
            match value {
                0 => config.chain_call_actions &= !bit,
                _ => config.chain_call_actions |= bit,
            }
        }
    }
    Ok(config)
}
