//! The control side that the tool and l2fwd share: making an object ready to run, filling its maps from a file and printing them.
//!
//! Everything here runs before or beside the packets, never on their path; it uses std and allocates freely.

pub mod bytes;
pub mod frames;
pub mod maps_json;
pub mod records;
pub mod ring;
pub mod routes;
pub mod sample;
pub mod session;
pub mod traffic;
