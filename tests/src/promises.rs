//! `docs/security.md`: what is promised, and by the name of which test.

use crate::root;

/// A test that a promise names.
#[derive(Debug)]
pub struct Promise {
    /// `faults`, `e2e`, `server`, `engine`; empty if a row names no test.
    pub suite: String,
    /// The test, or what the names of several begin with.
    pub name: String,
    /// What is promised.
    pub what: String,
}

/// All of them: the rows of tables of two columns.
pub fn promises() -> Vec<Promise> {
    let text = std::fs::read_to_string(root().join("docs/security.md")).expect("it is there");
    let mut promises = Vec::new();
    for row in text.lines() {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let &["", what, tests, ""] = cells.as_slice() else { continue };
        if what == "promise" || what.starts_with("---") {
            continue;
        }
        let mut suite = "";
        let mut names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            names.push("");
        }
        for name in names {
            let (of, name) = name.split_once(": ").unwrap_or((suite, name));
            suite = of;
            promises.push(Promise { suite: of.to_owned(), name: name.to_owned(), what: what.to_owned() });
        }
    }
    promises
}
