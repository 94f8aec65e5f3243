//! Which machine code is for.

/// An architecture that has a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// x86-64, System V.
    X86_64,
}

impl Target {
    /// The machine that this library runs on; `None` where it has no backend.
    pub const HOST: Option<Target> =
        if cfg!(all(target_arch = "x86_64", target_feature = "sse2")) { Some(Target::X86_64) } else { None };
}

/// Instructions beyond the architecture's base that code may use.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CpuFeatures {
    /// x86-64: shifts by any register.
    pub bmi2: bool,
}

impl CpuFeatures {
    /// The base alone.
    pub const BASE: CpuFeatures = CpuFeatures { bmi2: false };
}
