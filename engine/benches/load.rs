//! The time to load and compile all specs, as a start of the server does.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "bench code")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

const ROUNDS: usize = 21;

/// Loads and compiles every spec and says how many programs there are; `None` as long as the engine cannot.
fn load(sources: &[(String, String)]) -> Option<usize> {
    black_box(sources);
    None
}

fn main() {
    let sources = sources();
    let Some(programs) = load(&sources) else {
        println!("load: the engine is not plugged in");
        return;
    };
    // `cargo test --benches` runs this without the flag: one load is all it wants.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(load(black_box(&sources)));
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let bytes: usize = sources.iter().map(|(_, text)| text.len()).sum();
    println!(
        "load: {programs} programs from {bytes} bytes of specs in {:.0} us (median of {ROUNDS})",
        times[ROUNDS / 2]
    );
}

/// Path and text of every spec, by name; reading files is not measured.
fn sources() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut sources: Vec<(String, String)> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    sources.sort();
    sources
}
