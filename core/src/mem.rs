//! Fallible heap memory: the only `Vec`, `Box` and `String` that core uses.
//!
//! An embedded host may run out of memory while it loads a program; that is an error of the load, never an abort of the process.
//! These types wrap the ones of `alloc` and leave out every call that aborts. They contain no `unsafe`.
//! The run path does not use this module at all.
//!
//! Refuses: infallible growth. A lint (`clippy.toml`) keeps the aborting forms of `alloc` out of core.

use core::fmt;
use core::ops::{Deref, DerefMut};

/// Memory could not be had; the operation left everything as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for OutOfMemory {}

impl From<alloc::collections::TryReserveError> for OutOfMemory {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        OutOfMemory
    }
}

/// A growable array whose growth can fail. Reads go through the slice that it derefs to.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vec<T>(alloc::vec::Vec<T>);

impl<T> Vec<T> {
    /// An empty array; takes no memory.
    pub const fn new() -> Self {
        Vec(alloc::vec::Vec::new())
    }

    /// An empty array with room for exactly `n` elements.
    pub fn with_capacity(n: usize) -> Result<Self, OutOfMemory> {
        let mut v = alloc::vec::Vec::new();
        v.try_reserve_exact(n)?;
        Ok(Vec(v))
    }

    /// `n` elements, each made by `make(index)`.
    pub fn from_fn(n: usize, mut make: impl FnMut(usize) -> T) -> Result<Self, OutOfMemory> {
        let mut v = Self::with_capacity(n)?;
        for i in 0..n {
            v.push(make(i))?;
        }
        Ok(v)
    }

    /// Makes room for `n` further elements.
    pub fn reserve(&mut self, n: usize) -> Result<(), OutOfMemory> {
        Ok(self.0.try_reserve(n)?)
    }

    /// Makes room for exactly `n` further elements.
    pub fn reserve_exact(&mut self, n: usize) -> Result<(), OutOfMemory> {
        Ok(self.0.try_reserve_exact(n)?)
    }

    /// Appends one element.
    #[expect(clippy::disallowed_methods, reason = "room was reserved in the line before")]
    pub fn push(&mut self, value: T) -> Result<(), OutOfMemory> {
        self.0.try_reserve(1)?;
        self.0.push(value);
        Ok(())
    }

    /// Inserts one element at `index`.
    ///
    /// # Panics
    /// Where `index` is beyond the length.
    #[expect(clippy::disallowed_methods, reason = "room was reserved in the line before")]
    pub fn insert(&mut self, index: usize, value: T) -> Result<(), OutOfMemory> {
        self.0.try_reserve(1)?;
        self.0.insert(index, value);
        Ok(())
    }

    /// Appends what the iterator yields.
    pub fn extend(&mut self, items: impl IntoIterator<Item = T>) -> Result<(), OutOfMemory> {
        let items = items.into_iter();
        self.0.try_reserve(items.size_hint().0)?;
        for item in items {
            self.push(item)?;
        }
        Ok(())
    }

    /// Removes and returns the last element.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Removes the element at `index`, shifting the rest down.
    ///
    /// # Panics
    /// Where `index` is not below the length.
    pub fn remove(&mut self, index: usize) -> T {
        self.0.remove(index)
    }

    /// Removes the element at `index`; the last one takes its place.
    ///
    /// # Panics
    /// Where `index` is not below the length.
    pub fn swap_remove(&mut self, index: usize) -> T {
        self.0.swap_remove(index)
    }

    /// Drops all elements from `len` on; keeps the memory.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Drops all elements; keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps the elements for which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.0.retain(keep);
    }

    /// Removes and yields all elements of a range.
    pub fn drain(&mut self, range: impl core::ops::RangeBounds<usize>) -> alloc::vec::Drain<'_, T> {
        self.0.drain(range)
    }

    /// Elements there is room for.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<T: Clone> Vec<T> {
    /// A copy of `items`.
    pub fn from_slice(items: &[T]) -> Result<Self, OutOfMemory> {
        let mut v = Self::with_capacity(items.len())?;
        v.extend_from_slice(items)?;
        Ok(v)
    }

    /// `n` copies of `value`.
    pub fn filled(value: T, n: usize) -> Result<Self, OutOfMemory> {
        let mut v = Self::with_capacity(n)?;
        v.resize(n, value)?;
        Ok(v)
    }

    /// Appends a copy of `items`.
    #[expect(clippy::disallowed_methods, reason = "room was reserved in the line before")]
    pub fn extend_from_slice(&mut self, items: &[T]) -> Result<(), OutOfMemory> {
        self.0.try_reserve(items.len())?;
        self.0.extend_from_slice(items);
        Ok(())
    }

    /// Cuts or grows (with copies of `value`) to `n` elements.
    #[expect(clippy::disallowed_methods, reason = "room was reserved in the line before")]
    pub fn resize(&mut self, n: usize, value: T) -> Result<(), OutOfMemory> {
        self.0.try_reserve(n.saturating_sub(self.0.len()))?;
        self.0.resize(n, value);
        Ok(())
    }

    /// A copy of the whole.
    pub fn try_clone(&self) -> Result<Self, OutOfMemory> {
        Self::from_slice(self)
    }
}

impl<T> Default for Vec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for Vec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Vec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> IntoIterator for Vec<T> {
    type Item = T;
    type IntoIter = alloc::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Vec<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut Vec<T> {
    type Item = &'a mut T;
    type IntoIter = core::slice::IterMut<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

/// One value on the heap. Holds a boxed slice of length one, which can be made fallibly without `unsafe`.
#[derive(Debug, PartialEq, Eq)]
pub struct Box<T>(alloc::boxed::Box<[T]>);

impl<T> Box<T> {
    /// Moves `value` to the heap.
    pub fn new(value: T) -> Result<Self, OutOfMemory> {
        let mut v = Vec::with_capacity(1)?;
        v.push(value)?;
        Ok(Box(v.0.into_boxed_slice()))
    }

    /// Moves the value out again.
    pub fn into_inner(self) -> Option<T> {
        self.0.into_vec().pop()
    }
}

impl<T> Deref for Box<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0[0]
    }
}

impl<T> DerefMut for Box<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0[0]
    }
}

/// Text whose growth can fail. As a `fmt::Write`, running out of memory is `fmt::Error`.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct String(alloc::string::String);

impl String {
    /// The empty text; takes no memory.
    pub const fn new() -> Self {
        String(alloc::string::String::new())
    }

    /// A copy of `text`.
    pub fn from_text(text: &str) -> Result<Self, OutOfMemory> {
        let mut s = Self::new();
        s.push_str(text)?;
        Ok(s)
    }

    /// Appends `text`.
    #[expect(clippy::disallowed_methods, reason = "room was reserved in the line before")]
    pub fn push_str(&mut self, text: &str) -> Result<(), OutOfMemory> {
        self.0.try_reserve(text.len())?;
        self.0.push_str(text);
        Ok(())
    }

    /// Empties the text; keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A copy.
    pub fn try_clone(&self) -> Result<Self, OutOfMemory> {
        Self::from_text(&self.0)
    }
}

impl fmt::Write for String {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push_str(s).map_err(|_| fmt::Error)
    }
}

impl Deref for String {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for String {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_capacity_is_an_error_and_keeps_the_content() {
        let mut v = Vec::from_slice(&[1u64, 2]).unwrap();
        assert_eq!(v.reserve(usize::MAX / 8), Err(OutOfMemory));
        assert_eq!(&v[..], &[1, 2]);
    }

    #[test]
    fn boxed_value_comes_out_again() {
        let mut b = Box::new(7u32).unwrap();
        *b += 1;
        assert_eq!(b.into_inner(), Some(8));
    }

    #[test]
    fn text_is_written_through_fmt() {
        use fmt::Write;
        let mut s = String::new();
        write!(s, "R{}={:#x}", 1, 255).unwrap();
        assert_eq!(s.as_str(), "R1=0xff");
    }
}
