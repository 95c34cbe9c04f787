//! The `interlingua` command.

use std::process::ExitCode;

/// Many short requests allocate many small pieces: about half the cost of the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    interlingua::cli::main()
}
