//! Collects the files that travel inside the binary: built-in specs, the simulator's fixtures and
//! the published schemas. Knows folders, not names: a new provider is a new file and nothing else.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("embedded.rs");
    let mut code = String::new();
    list(&mut code, "SPECS", &root.join("specs"), |path, depth| depth == 0 && is(path, "yaml"))?;
    list(&mut code, "FIXTURES", &root.join("specs/fixtures"), |_, _| true)?;
    list(&mut code, "SCHEMAS", &root.join("schema"), |path, _| is(path, "json"))?;
    fs::write(out, code)
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Writes `pub(crate) const NAME: &[(&str, &str)]`: path below `folder` with `/`, and text, by path.
fn list(code: &mut String, name: &str, folder: &Path, wanted: fn(&Path, usize) -> bool) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    if folder.is_dir() {
        collect(folder, 0, wanted, &mut files)?;
    }
    files.sort();
    let _ = writeln!(code, "pub(crate) const {name}: &[(&str, &str)] = &[");
    for file in files {
        let below = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        let file = fs::canonicalize(&file)?;
        let _ = writeln!(code, "    ({below:?}, include_str!({:?})),", file.to_string_lossy());
    }
    code.push_str("];\n");
    Ok(())
}

fn collect(
    folder: &Path,
    depth: usize,
    wanted: fn(&Path, usize) -> bool,
    files: &mut Vec<PathBuf>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            println!("cargo::rerun-if-changed={}", path.display());
            collect(&path, depth + 1, wanted, files)?;
        } else if wanted(&path, depth) {
            files.push(path);
        }
    }
    Ok(())
}
