//! Bump memory of one request or one stream message. Knows nothing of what is stored in it.

use super::value::{Array, Object, Value, WIDE};
use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};
use std::cell::Cell;

thread_local! {
    /// What the last arena leaves for the next one.
    static SPARE: Cell<Option<Bump>> = const { Cell::new(None) };
}

/// Memory that lives as long as one request (or one stream message) and is given back at once.
#[derive(Debug, Default)]
pub struct Arena {
    bump: Bump,
}

impl Drop for Arena {
    fn drop(&mut self) {
        const LEAST: usize = 4 * 1024;
        const MOST: usize = 64 * 1024;
        if (LEAST..=MOST).contains(&self.bump.allocated_bytes()) {
            let mut bump = std::mem::take(&mut self.bump);
            bump.reset();
            // A thread that ends keeps nothing.
            let _ = SPARE.try_with(|spare| spare.set(Some(bump)));
        }
    }
}

impl Arena {
    /// An empty arena; it allocates with its first use.
    pub fn new() -> Self {
        Self { bump: Bump::new() }
    }

    /// An arena with room for so many bytes, taken in one piece.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bump: Bump::with_capacity(bytes) }
    }

    /// An arena for the translation of a body of so many bytes: one piece usually is enough.
    pub fn for_body(bytes: usize) -> Self {
        // The tree takes about as much as the text, and what is built from it as much again.
        const LEAST: usize = 16 * 1024;
        const MOST: usize = 1024 * 1024;
        Self::with_spare((bytes * 4).clamp(LEAST, MOST))
    }

    /// An arena for what is forgotten when `use_it` is done, such as one message of a stream. Those who wait for
    /// messages hold none.
    pub(crate) fn passing<R>(use_it: impl FnOnce(&Arena) -> R) -> R {
        const USUAL: usize = 4 * 1024;
        use_it(&Self::with_spare(USUAL))
    }

    /// With the memory that the thread's last arena left, if it is enough.
    fn with_spare(bytes: usize) -> Self {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        match spare.filter(|bump| bump.allocated_bytes() >= bytes) {
            Some(bump) => Self { bump },
            None => Self::with_capacity(bytes),
        }
    }

    /// Forgets everything but keeps the largest block, so that the next message needs no allocation.
    pub fn reset(&mut self) {
        self.bump.reset();
    }

    /// Bytes taken from the system.
    pub fn allocated_bytes(&self) -> usize {
        self.bump.allocated_bytes()
    }

    /// Copies a text into the arena.
    pub fn alloc_str(&self, text: &str) -> &str {
        self.bump.alloc_str(text)
    }

    /// A list of these items, as built (no source bytes).
    pub fn array<'a>(&'a self, items: &[Value<'a>]) -> Value<'a> {
        self.array_with(items, "")
    }

    /// An object of these members, as built (no source bytes).
    pub fn object<'a>(&'a self, members: &[(&'a str, Value<'a>)]) -> Value<'a> {
        self.object_with(members, "")
    }

    pub(crate) fn array_with<'a>(&'a self, items: &[Value<'a>], raw: &'a str) -> Value<'a> {
        let items = self.bump.alloc_slice_copy(items);
        Value::Array(self.bump.alloc(Array { items, raw }))
    }

    pub(crate) fn object_with<'a>(&'a self, members: &[(&'a str, Value<'a>)], raw: &'a str) -> Value<'a> {
        let members = self.bump.alloc_slice_copy(members);
        self.object_in(members, raw)
    }

    fn object_in<'a>(&'a self, members: &'a [(&'a str, Value<'a>)], raw: &'a str) -> Value<'a> {
        let order = if members.len() > WIDE { self.order(members) } else { &[] };
        Value::Object(self.bump.alloc(Object { members, raw, order }))
    }

    #[cold]
    fn order<'a>(&'a self, members: &[(&'a str, Value<'a>)]) -> &'a [u32] {
        let Ok(count) = u32::try_from(members.len()) else {
            return &[];
        };
        let order = self.bump.alloc_slice_fill_iter(0..count);
        order.sort_unstable_by_key(|place| members.get(*place as usize).map_or("", |(name, _)| *name));
        order
    }

    /// A growing list in the arena; it becomes a value without being copied.
    pub(crate) fn vec<T>(&self, capacity: usize) -> BumpVec<'_, T> {
        BumpVec::with_capacity_in(capacity, &self.bump)
    }

    /// A growing text in the arena.
    pub(crate) fn string(&self, capacity: usize) -> BumpString<'_> {
        BumpString::with_capacity_in(capacity, &self.bump)
    }

    /// A list out of items that already are in the arena.
    pub(crate) fn array_of<'a>(&'a self, items: BumpVec<'a, Value<'a>>) -> Value<'a> {
        let items = items.into_bump_slice();
        Value::Array(self.bump.alloc(Array { items, raw: "" }))
    }

    /// An object out of members that already are in the arena.
    pub(crate) fn object_of<'a>(&'a self, members: BumpVec<'a, (&'a str, Value<'a>)>) -> Value<'a> {
        self.object_in(members.into_bump_slice(), "")
    }

    /// Slots of a run, all absent.
    pub(crate) fn slots(&self, count: usize) -> &mut [Value<'_>] {
        self.bump.alloc_slice_fill_copy(count, Value::Absent)
    }

    /// An integer as a number value.
    pub fn integer(&self, number: i64) -> Value<'_> {
        Value::Number(self.digits(number))
    }

    /// An integer as a literal.
    pub(crate) fn digits(&self, number: i64) -> &str {
        self.alloc_str(itoa::Buffer::new().format(number))
    }
}
