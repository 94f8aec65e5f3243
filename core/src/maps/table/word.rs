//! The slot word: the one place where an element becomes part of the table, changes or leaves it.
//!
//! ```text
//!  63       52 51 50 49              30 29               0
//! +-----------+-----+------------------+------------------+
//! |    tag    |state|    generation    |  element's index |
//! +-----------+-----+------------------+------------------+
//! ```
//!
//! A zeroed word is an empty slot. The generation counts every way a slot leaves a state in which others may act on it: emptied, replaced, tried again.
//! So a compare-exchange with a word that was read long ago fails, unless 2^20 changes brought back the very same element and tag meanwhile.

/// What a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum State {
    /// Free for whoever inserts.
    Empty = 0,
    /// Has an element that is not in the table yet: whoever inserts the same key decides over it too.
    Inserting = 1,
    /// Lost against another slot with the same key; only the inserter that owns it acts on it.
    Collided = 2,
    /// Is in the table.
    Member = 3,
}

/// Bits of an element's index.
pub(super) const INDEX_BITS: u32 = 30;
/// Bits of a tag.
pub(super) const TAG_BITS: u32 = 12;
/// Where state and tag begin in the upper half of a word: what groups compare is the word shifted right by 32 plus this.
pub(super) const PATTERN_SHIFT: u32 = 18;

const GENERATION_ONE: u64 = 1 << INDEX_BITS;
const GENERATION_MASK: u64 = ((1 << (32 + PATTERN_SHIFT)) - 1) & !INDEX_MASK;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const STATE_SHIFT: u32 = 32 + PATTERN_SHIFT;
const TAG_SHIFT: u32 = STATE_SHIFT + 2;

const _: () = assert!(TAG_SHIFT + TAG_BITS == 64);

/// A slot's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

/// Tag and state of the words that a lookup looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::maps) struct Pattern(pub(super) u32);

impl Pattern {
    /// Members with this tag.
    pub(super) fn member(tag: u32) -> Pattern {
        Pattern(tag << 2 | State::Member as u32)
    }
}

impl Word {
    pub(super) fn index(self) -> u32 {
        (self.0 & INDEX_MASK) as u32
    }

    pub(super) fn tag(self) -> u32 {
        (self.0 >> TAG_SHIFT) as u32
    }

    pub(super) fn state(self) -> State {
        match self.0 >> STATE_SHIFT & 3 {
            0 => State::Empty,
            1 => State::Inserting,
            2 => State::Collided,
            _ => State::Member,
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.state() == State::Empty
    }

    pub(super) fn matches(self, pattern: Pattern) -> bool {
        (self.0 >> STATE_SHIFT) as u32 == pattern.0
    }

    pub(super) fn is_member(self) -> bool {
        self.state() == State::Member
    }

    fn in_state(self, state: State) -> Word {
        Word(self.0 & !(3 << STATE_SHIFT) | (state as u64) << STATE_SHIFT)
    }

    fn next_generation(self) -> Word {
        Word(self.0 & !GENERATION_MASK | self.0.wrapping_add(GENERATION_ONE) & GENERATION_MASK)
    }

    /// An empty slot with an element put in.
    pub(super) fn inserting(self, tag: u32, index: u32) -> Word {
        Word(self.0 & GENERATION_MASK | u64::from(tag) << TAG_SHIFT | u64::from(index) & INDEX_MASK)
            .in_state(State::Inserting)
    }

    /// The same element, tried again.
    pub(super) fn retried(self) -> Word {
        self.next_generation().in_state(State::Inserting)
    }

    pub(super) fn collided(self) -> Word {
        self.in_state(State::Collided)
    }

    pub(super) fn member(self) -> Word {
        self.in_state(State::Member)
    }

    /// A member with another element for the same key.
    pub(super) fn replaced(self, index: u32) -> Word {
        let next = self.next_generation();
        Word(next.0 & !INDEX_MASK | u64::from(index) & INDEX_MASK)
    }

    /// The slot without its element.
    pub(super) fn emptied(self) -> Word {
        Word(self.next_generation().0 & GENERATION_MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_word_keep_apart() {
        let top = Word(GENERATION_MASK);
        let w = top.inserting(0xabc, 0x3fff_ffff);
        assert_eq!((w.tag(), w.index(), w.state()), (0xabc, 0x3fff_ffff, State::Inserting));
        let m = w.member();
        assert!(m.matches(Pattern::member(0xabc)) && !w.matches(Pattern::member(0xabc)));
        assert!(!m.matches(Pattern::member(0xabd)));
        let r = m.replaced(5);
        assert_eq!((r.tag(), r.index(), r.state()), (0xabc, 5, State::Member));
        assert_eq!(r.0 & GENERATION_MASK, 0, "the generation wraps inside its field");
        assert!(r.emptied().is_empty() && Word(0).is_empty());
        assert_eq!(r.emptied().0, GENERATION_ONE);
        assert_ne!(w.collided().retried(), w);
    }
}
