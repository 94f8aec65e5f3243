//! Tests of the verifier as a whole.
