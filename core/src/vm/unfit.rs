//! Why a proven program does not fit an environment, in words: what the verifier cannot know.

use super::{Env, ProgOptions};
use crate::error::{Errno, Status};
use crate::host::MissingService;
use crate::platform::Clock;
use crate::program::{Program, Rewrite, Verified};
use core::fmt;

/// Why a program cannot be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit<'a> {
    /// It wants a service that the host does not provide.
    Service(MissingService),
    /// A map that holds programs goes with others: those that differ in `xdp.frags`, or that attach elsewhere.
    OtherKind {
        /// The map.
        map: &'a str,
        /// Whether the program takes packets in several buffers.
        frags: bool,
    },
    /// The time of its runs is to be limited, and the platform has no clock.
    NoClock,
    /// It was verified for fewer CPUs than the environment has.
    Cpus {
        /// For how many.
        verified: u32,
    },
}

impl fmt::Display for Unfit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Unfit::Service(missing) => missing.fmt(f),
            Unfit::OtherKind { map, frags } => {
                let not = if frags { "" } else { "not " };
                write!(
                    f,
                    "its section is {not}xdp.frags, and map {map} goes with programs that differ in that or attach elsewhere"
                )
            }
            Unfit::NoClock => f.write_str("the time of runs cannot be limited: the platform has no clock"),
            Unfit::Cpus { verified } => {
                write!(f, "it was verified for {verified} CPUs, and the environment has more")
            }
        }
    }
}

impl core::error::Error for Unfit<'_> {}

impl Status for Unfit<'_> {
    fn errno(&self) -> Errno {
        match self {
            Unfit::Service(_) | Unfit::NoClock => Errno::EOPNOTSUPP,
            Unfit::OtherKind { .. } | Unfit::Cpus { .. } => Errno::EINVAL,
        }
    }
}

/// The first reason why a program cannot be installed in an environment with these options.
pub fn unfit<'a>(env: &Env, program: &'a Program<Verified>, options: &ProgOptions) -> Option<Unfit<'a>> {
    if let Some(missing) = missing_service(env, program) {
        return Some(Unfit::Service(missing));
    }
    if options.limit_ns != 0 && env.platform().clock_ns(Clock::Monotonic).is_none() {
        return Some(Unfit::NoClock);
    }
    if program.nr_cpus() != 0 && program.nr_cpus() < env.nr_cpus() {
        return Some(Unfit::Cpus { verified: program.nr_cpus() });
    }
    let code = program.code();
    let map = program.maps().iter().find(|map| !map.would_admit_user(code.attach, code.frags))?;
    Some(Unfit::OtherKind { map: map.name(), frags: code.frags })
}

/// The first service of the host that a program wants and the environment does not have.
fn missing_service(env: &Env, program: &Program<Verified>) -> Option<MissingService> {
    program.rewrites().insns.iter().find_map(|rewrite| {
        let Rewrite::CallHelper { row, .. } = *rewrite else { return None };
        let helper = env.helpers().get(row)?;
        MissingService::of(helper.name, helper.id, |service| env.provides(service))
    })
}
