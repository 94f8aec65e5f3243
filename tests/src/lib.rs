//! Tests of everything that crosses a crate; there is nothing here but tests.
