//! BPF_F_RDONLY and BPF_F_WRONLY around a model: the control plane may not, programs may.

use super::*;
use spec::flags::{BPF_F_LOCK, BPF_F_RDONLY, BPF_F_WRONLY};

const EPERM: i32 = Errno::EPERM.0;

struct Access {
    model: Box<dyn Subject>,
    reads: bool,
    writes: bool,
}

/// The model of a map with these flags.
pub(super) fn bound(model: Box<dyn Subject>, flags: u32) -> Box<dyn Subject> {
    let (reads, writes) = (flags & BPF_F_WRONLY == 0, flags & BPF_F_RDONLY == 0);
    Box::from(Access { model, reads, writes })
}

impl Subject for Access {
    fn apply(&mut self, op: &Op) -> Answer {
        let both = self.reads && self.writes;
        match op {
            // Flags that no lookup knows are what is seen first.
            Op::Lookup { flags, .. } | Op::TakeOut { flags, .. } if flags & !BPF_F_LOCK != 0 => {
                Answer::errno(Errno::EINVAL.0)
            }
            Op::Lookup { .. } | Op::NextKey { .. } if !self.reads => Answer::errno(EPERM),
            Op::Update { .. } | Op::Delete { .. } if !self.writes => Answer::errno(EPERM),
            Op::TakeOut { .. } if !both => Answer::errno(EPERM),
            Op::ReadBatch(read) if !self.reads => Answer::batch((EPERM, read.room)),
            Op::TakeBatch(read) if !both => Answer::batch((EPERM, read.room)),
            Op::UpdateBatch { count, .. } | Op::DeleteBatch { count, .. } if !self.writes => {
                Answer::batch((EPERM, *count))
            }
            _ => self.model.apply(op),
        }
    }

    fn kind(&self) -> MapType {
        self.model.kind()
    }

    /// What cannot be read is not seen; a queue is read by taking out.
    fn contents(&mut self) -> Contents {
        let is_queue = matches!(self.kind(), MapType::Queue | MapType::Stack);
        if self.reads && (self.writes || !is_queue) { self.model.contents() } else { Contents::new() }
    }
}
