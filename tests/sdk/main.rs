//! The official client libraries.
fn main() {}
