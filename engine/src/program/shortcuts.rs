//! Work that is left out because nothing can come of it, can be switched on for a test: everything must come out the
//! same with it and without it.

#[cfg(test)]
thread_local! {
    static OFF: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether all work is to be done.
#[inline]
pub(crate) fn are_off() -> bool {
    #[cfg(test)]
    return OFF.get();
    #[cfg(not(test))]
    false
}

/// Runs something without shortcuts, on this thread.
#[cfg(test)]
pub(crate) fn without<T>(run: impl FnOnce() -> T) -> T {
    OFF.set(true);
    let result = run();
    OFF.set(false);
    result
}
