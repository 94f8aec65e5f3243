//! Why a proven program does not fit an environment, in words: what the verifier cannot know.

use super::{Env, ProgOptions, limit};
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
    /// A map that holds programs has the other kind already.
    OtherKind {
        /// The map.
        map: &'a str,
        /// Whether the program takes packets in several buffers, and what is in the map does not; else the other way round.
        frags: bool,
    },
    /// A program for entries of a device or CPU map uses a PROG_ARRAY.
    TailCalls {
        /// The map.
        map: &'a str,
    },
    /// Its runs are to be limited, and it holds objects of the host, which an aborted run could not give back.
    Holds {
        /// The helper by which it gets one.
        helper: &'static str,
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
            Unfit::OtherKind { map, frags: true } => {
                write!(f, "its section is xdp.frags, and map {map} goes with programs of other sections")
            }
            Unfit::OtherKind { map, frags: false } => {
                write!(f, "its section is not xdp.frags, and map {map} goes with programs of xdp.frags")
            }
            Unfit::TailCalls { map } => {
                write!(f, "programs for entries of a device or CPU map have no tail calls (map {map})")
            }
            Unfit::Holds { helper } => {
                write!(f, "its runs cannot be limited: an aborted one could not give back what {helper} gave")
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
            Unfit::Service(_) | Unfit::Holds { .. } | Unfit::NoClock => Errno::EOPNOTSUPP,
            Unfit::OtherKind { .. } | Unfit::TailCalls { .. } | Unfit::Cpus { .. } => Errno::EINVAL,
        }
    }
}

/// The first reason why a program cannot be installed in an environment with these options.
pub fn unfit<'a>(env: &Env, program: &'a Program<Verified>, options: &ProgOptions) -> Option<Unfit<'a>> {
    if let Some(missing) = missing_service(env, program) {
        return Some(Unfit::Service(missing));
    }
    if options.limit | options.limit_ns != 0
        && let Some(helper) = limit::holder(program, env.helpers())
    {
        return Some(Unfit::Holds { helper });
    }
    if options.limit_ns != 0 && env.platform().clock_ns(Clock::Monotonic).is_none() {
        return Some(Unfit::NoClock);
    }
    if program.nr_cpus() != 0 && program.nr_cpus() < env.nr_cpus() {
        return Some(Unfit::Cpus { verified: program.nr_cpus() });
    }
    let code = program.code();
    let map = program.maps().iter().find(|map| !map.would_admit_user(code.attach, code.frags))?;
    Some(match map.may_have_users(code.attach) {
        true => Unfit::OtherKind { map: map.name(), frags: code.frags },
        false => Unfit::TailCalls { map: map.name() },
    })
}

/// The first service of the host that a program wants and the environment does not have.
fn missing_service(env: &Env, program: &Program<Verified>) -> Option<MissingService> {
    program.rewrites().insns.iter().find_map(|rewrite| {
        let Rewrite::CallHelper { row, .. } = *rewrite else { return None };
        let helper = env.helpers().get(row)?;
        MissingService::of(helper.name, helper.id, |service| env.provides(service))
    })
}
