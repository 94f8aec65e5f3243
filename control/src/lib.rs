//! The control side that the tool and l2fwd share: filling maps from a file and printing them.
//!
//! Everything here runs before or beside the packets, never on their path; it uses std and allocates freely.

pub mod bytes;
