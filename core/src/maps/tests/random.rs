/// Numbers for operation sequences: xorshift, so that a failure repeats.
pub(in crate::maps) struct Random(pub(in crate::maps) u64);

impl Random {
    pub(in crate::maps) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(in crate::maps) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    /// One of several.
    pub(in crate::maps) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
