//! What a program says of its packet, and why a run can end as aborted.

/// The return codes of an XDP program (`enum xdp_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// Something went wrong; the packet is dropped and the reason counted.
    Aborted = 0,
    /// Drop it.
    Drop = 1,
    /// To the host, or to whoever embeds us.
    Pass = 2,
    /// Back out of the port it came from.
    Tx = 3,
    /// To the target that the context's redirect names.
    Redirect = 4,
}

impl Action {
    /// The action for a code; `None` for codes that mean nothing.
    pub const fn from_code(code: u32) -> Option<Action> {
        Some(match code {
            0 => Action::Aborted,
            1 => Action::Drop,
            2 => Action::Pass,
            3 => Action::Tx,
            4 => Action::Redirect,
            _ => return None,
        })
    }

    /// The kernel's name, for example `XDP_PASS`.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Aborted => "XDP_ABORTED",
            Action::Drop => "XDP_DROP",
            Action::Pass => "XDP_PASS",
            Action::Tx => "XDP_TX",
            Action::Redirect => "XDP_REDIRECT",
        }
    }
}

/// Why a run ended as aborted. Append-only: the numbers are in the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum AbortReason {
    /// The program returned XDP_ABORTED.
    Returned = 0,
    /// The program returned a code that means nothing, or nothing at the entry of a map.
    UnknownCode = 1,
    /// An instruction was reached that the verifier had proven dead, or memory was touched out of bounds: a bug of ours, caught.
    Fault = 2,
    /// The hook has no program.
    NoProgram = 3,
    /// REDIRECT was returned, but no target was set.
    NoRedirectTarget = 4,
    /// The lock of a map's value was not to be had in time: its holder is dead, or stuck.
    Lock = 5,
    /// The run took more instructions than it may.
    Limit = 6,
    /// The packet is in several buffers, and a program that is attached does not take such (`xdp.frags`): none was run.
    SeveralBuffers = 7,
    /// The run took more time than it may.
    Time = 8,
}

impl AbortReason {
    /// All reasons, in order of their numbers.
    pub const ALL: [AbortReason; 9] = [
        Self::Returned,
        Self::UnknownCode,
        Self::Fault,
        Self::NoProgram,
        Self::NoRedirectTarget,
        Self::Lock,
        Self::Limit,
        Self::SeveralBuffers,
        Self::Time,
    ];
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The reason with that number.
    pub const fn from_number(n: u32) -> Option<AbortReason> {
        if (n as usize) < Self::COUNT { Some(Self::ALL[n as usize]) } else { None }
    }

    /// The reason in words.
    pub const fn name(self) -> &'static str {
        match self {
            AbortReason::Returned => "XDP_ABORTED returned",
            AbortReason::UnknownCode => "unknown code returned",
            AbortReason::Fault => "fault",
            AbortReason::NoProgram => "no program attached",
            AbortReason::NoRedirectTarget => "redirect without a target",
            AbortReason::Lock => "lock not to be had",
            AbortReason::Limit => "limit reached",
            AbortReason::SeveralBuffers => "several buffers without xdp.frags",
            AbortReason::Time => "time limit reached",
        }
    }
}
