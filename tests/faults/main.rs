//! Faults: what providers, clients and the network between do wrong, and the one right outcome of each.
//!
//! A fault is a row of a table: what somebody does, step by step, on a bare socket, against the real
//! command; then what the client sees, what the record says, and how long it may take. Every row is a
//! test of its own (`provider/cut/in_the_body/live/other`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]

mod clients;
mod connections;
mod dialect;
mod fault;
mod gone;
mod h2;
mod leaks;
mod memory;
mod pools;
mod prompt;
mod provider;
mod provider_bodies;
mod provider_heads;
mod provider_lengths;
mod provider_streams;
mod provider_tls;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use interlingua_tests::promises::promises;
use libtest_mimic::{Arguments, Trial};

use world::Worlds;

/// Faults mostly wait: for each other they need not.
const AT_ONCE: usize = 16;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let worlds = Arc::new(Worlds::default());
    let trials: Vec<Trial> = [
        connections::faults(),
        provider_heads::faults(),
        provider_lengths::faults(),
        provider_bodies::faults(),
        provider_streams::faults(),
        provider_tls::faults(),
    ]
    .into_iter()
    .flatten()
    .flat_map(|fault| fault.trials(&worlds))
    .chain(clients::trials(&worlds))
    .chain(pools::trials(&worlds))
    .chain(gone::trials(&worlds))
    .chain(h2::trials(&worlds))
    .chain(leaks::trials(&worlds))
    .chain(memory::trials(&worlds))
    // Those that look at the time come last: the others are done by then.
    .chain(gone::timed(&worlds))
    .chain(h2::timed(&worlds))
    .collect();
    let rows: std::collections::BTreeSet<&str> =
        trials.iter().map(|trial| trial.name().split("//").next().unwrap_or_default()).collect();
    if !arguments.list {
        println!("{} faults", rows.len());
    }
    let names: Vec<String> = trials.iter().map(|trial| trial.name().to_owned()).collect();
    let promised = Trial::test("promises_have_their_faults", move || {
        let mut missing: Vec<String> = promises()
            .into_iter()
            .filter(|promise| promise.suite == "faults")
            .filter(|promise| !names.iter().any(|name| name.starts_with(&promise.name)))
            .map(|promise| promise.name)
            .collect();
        missing.dedup();
        if missing.is_empty() { Ok(()) } else { Err(format!("docs/security.md names {missing:?}").into()) }
    });
    libtest_mimic::run(&arguments, trials.into_iter().chain([promised]).collect()).exit_code()
}
