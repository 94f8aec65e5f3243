//! The verifier: proves a program safe before anything runs it.
//!
//! Here stand the abstract numbers that it computes with. [`tnum`] knows bits, [`range`] knows bounds, [`lane`] lets the two refine
//! each other at one width, [`scalar`] does so across 64 and 32 bits, [`alu`] and [`refine`] say what instructions and branches do to them.

pub mod alu;
pub mod lane;
pub mod range;
pub mod refine;
pub mod scalar;
pub mod tnum;

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod sampled;
