//! The control side that the tool and l2fwd share: making an object ready to run, filling its maps from a file and printing them.
//!
//! Everything here runs before or beside the packets, never on their path; it uses std and allocates freely.
//!
//! Two programs at one port of a Rust host, runs that may not go on for ever, and a new version of a program between two bursts, with its maps kept:
//!
//! ```
//! use std::path::Path;
//! use uxdp_control::session::{Session, environment};
//! use uxdp_core::vm::{Action, Frame, Hook, Link, Needs, Origin, ProgOptions, Runner, Worker};
//!
//! let object = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../xdp_progs/obj/{name}.o"));
//! let env = environment()?;
//! // A run that takes more than a million instructions, or ten milliseconds, is aborted.
//! let options = ProgOptions { limit: 1_000_000, limit_ns: 10_000_000, ..ProgOptions::default() };
//! let counts = Session::open_in(&env, &object("xdp_maps"), options, Default::default())?;
//! let answers = Session::open_in(&env, &object("xdp_tx"), options, Default::default())?;
//! let links = |first: &Session| -> Result<_, Box<dyn std::error::Error>> {
//!     let (first, second) = (first.program(0)?.prog, answers.program(0)?.prog);
//!     // The second one runs where the first one says XDP_PASS.
//!     Ok([Link { prog: first, chain_call_actions: 1 << Action::Pass as u32 }, Link::of(&second)])
//! };
//! let port = Hook::create_at(&env, Needs::REDIRECT.with(Needs::TX))?;
//! port.set_links(uxdp_core::mem::Vec::from_slice(&links(&counts)?)?)?;
//!
//! let worker = Worker::register(&env, 0)?;
//! let mut runner = Runner::new(&worker, &port, Origin::default())?;
//! let mut buffer = [0; 256 + 64];
//! assert_eq!(runner.run(&mut Frame::new(&mut buffer, 256..320)?), Action::Tx as u32);
//!
//! // The next burst runs the new version, which goes on with the maps of the old one.
//! let newer = Session::open_in(&env, &object("xdp_maps"), options, counts.keep())?;
//! port.set_links(uxdp_core::mem::Vec::from_slice(&links(&newer)?)?)?;
//! assert_eq!(newer.kept_names().count(), counts.object().maps().len());
//! worker.quiescent();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bytes;
pub mod frames;
pub mod maps_json;
pub mod records;
pub mod ring;
pub mod routes;
pub mod sample;
pub mod session;
pub mod traffic;
