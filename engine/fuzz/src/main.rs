//! `cargo run --release -- TARGET --seconds 60`: mutates seeds and feeds them to one target.

#[path = "../../tests/common/guarantees.rs"]
mod guarantees;
mod mutate;
mod path;
mod targets;
mod world;

use mutate::{Rng, mutated};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use targets::TARGETS;
use world::World;

/// An input that takes longer is a finding.
const SLOW: Duration = Duration::from_secs(10);

/// Inputs are cut to this size, in bytes.
const MAX_BYTES: usize = 64 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let name = arguments.first().map_or("list", String::as_str);
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        for target in TARGETS {
            println!("{}", target.name);
        }
        return if name == "list" { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    let mut world = World::load();
    if let Some(file) = option("--input") {
        let input = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        (target.run)(&mut world, &input);
        println!("{name}: {file} is fine");
        return ExitCode::SUCCESS;
    }
    let seconds = option("--seconds").and_then(|text| text.parse().ok()).unwrap_or(60);
    let seed: u64 = option("--seed").and_then(|text| text.parse().ok()).unwrap_or(1);
    let seeds = (target.seeds)(&world);
    assert!(!seeds.is_empty(), "no seeds");
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut rng, mut inputs, mut findings) = (Rng::new(seed), 0_u64, 0);
    while Instant::now() < end && findings < 10 {
        let mut input = mutated(&seeds, &mut rng);
        input.truncate(MAX_BYTES);
        inputs += 1;
        let start = Instant::now();
        // Written before it runs: a stack overflow or a full memory ends the process.
        let current = Path::new("findings").join(format!("{name}.current"));
        if target.dangerous {
            keep(&current, &input);
        }
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (target.run)(&mut world, &input)));
        let took = start.elapsed();
        if panicked.is_err() || took > SLOW {
            findings += 1;
            let file = Path::new("findings").join(format!("{name}-{seed}-{inputs}.bin"));
            keep(&file, &input);
            println!("finding after {inputs} inputs, {took:?}: {}", file.display());
        }
    }
    println!("{name}: {inputs} inputs, {findings} findings, seed {seed}");
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn keep(file: &Path, input: &[u8]) {
    let folder = file.parent().expect("a file in a folder");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(file, input))
        .expect("findings can be written");
}
