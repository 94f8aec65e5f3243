//! Why an object cannot be made ready: what stands in the way, with the file it stands in.

use crate::maps_json::MapsError;
use std::path::PathBuf;
use uxdp_core::error::Errno;
use uxdp_core::object::ObjectError;
use uxdp_core::verifier::Rejection;

/// Why an object cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not an object that programs can be loaded from.
    #[error("{file}: {error}; compile with clang -O2 -g -target bpf -c prog.c -o prog.o")]
    Object {
        /// The object's file.
        file: String,
        /// Section, offset and reason.
        error: Box<ObjectError>,
    },
    /// No such program, or several that could be meant.
    #[error("{0}")]
    Choice(String),
    /// A map that cannot be made or filled.
    #[error("{file}, map \"{map}\": {error}")]
    Map {
        /// The object's file.
        file: String,
        /// The map.
        map: String,
        /// What it says.
        error: Errno,
    },
    /// Map contents that cannot be written.
    #[error("{}: {error}", path.display())]
    Contents {
        /// The file of contents.
        path: PathBuf,
        /// Map, entry and reason.
        error: Box<MapsError>,
    },
    /// The verifier refused a program.
    #[error(
        "{file}, program \"{program}\" is refused: {rejection}; `uxdp verify --log 2` shows the way there"
    )]
    Refused {
        /// The object's file.
        file: String,
        /// The program.
        program: String,
        /// The kernel's words.
        rejection: Box<Rejection>,
    },
    /// A program that wants what this tool does not have: sockets, connection tracking.
    #[error("{0}")]
    Service(String),
    /// The machine has no room or service for it.
    #[error("{what}: {error}")]
    Machine {
        /// What was wanted.
        what: String,
        /// Why not.
        error: Errno,
    },
}
