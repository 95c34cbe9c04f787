//! The engine beside the hand-written code: the same three functions over the compiled spec.

use crate::hand::Variant;

/// The engine as a variant; none as long as it cannot run a spec.
///
/// Compile once into a `static PROGRAM: LazyLock<Arc<Program>>`: timing warms up first and the instruction
/// count is a difference of two runs, so the compilation is in neither number. `$ctx.now` is `hand::NOW`,
/// and the stream's request asked for usage.
pub(crate) const ENGINE: Option<Variant> = None;
