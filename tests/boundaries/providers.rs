//! `docs/providers`: a page for each spec and a table of all; and that each spec says what belongs there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use interlingua::cli::pages;
use interlingua::library;
use interlingua_engine::Library;
use interlingua_tests::{root, snapshot};
use serde_json::Value;

/// How the paragraph with the sources begins; the date follows.
const SOURCES: [&str; 2] = ["Sources, read ", "Read for this file on "];

/// Between these lines of the README stands the list of all providers.
const LIST: [&str; 2] = ["<!-- providers: written by the boundary tests -->", "<!-- end -->"];

fn loaded() -> Library {
    Library::load(library::built_in()).unwrap()
}

fn fresh(file: &Path, text: &str) {
    snapshot::check(file, text).unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn provider_pages_are_fresh() {
    let library = loaded();
    let folder = root().join("docs/providers");
    if snapshot::updating() {
        fs::create_dir_all(&folder).unwrap();
    }
    fresh(&folder.join("README.md"), &pages::index(library.specs()).unwrap());
    let mut expected = BTreeSet::from(["README.md".to_owned()]);
    for spec in library.specs() {
        let file = format!("{}.md", spec.name());
        fresh(&folder.join(&file), &pages::page(spec, true).unwrap());
        expected.insert(file);
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if expected.contains(&*path.file_name().unwrap().to_string_lossy()) {
            continue;
        }
        assert!(snapshot::updating(), "{}: there is no such spec; UPDATE=1 removes the page", path.display());
        fs::remove_file(path).unwrap();
    }
    links_lead_somewhere(&folder, &expected);
}

fn links_lead_somewhere(folder: &Path, files: &BTreeSet<String>) {
    let mut complaints = String::new();
    for file in files {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let elsewhere = ["https://", "http://"].iter().any(|start| target.starts_with(start));
            if !elsewhere && !folder.join(target).exists() {
                writeln!(complaints, "{file}: {link}").unwrap();
            }
        }
    }
    assert!(complaints.is_empty(), "links to nowhere:\n{complaints}");
}

/// The list of providers in the README has all of them, whatever their number.
#[test]
fn readme_lists_every_provider() {
    let library = loaded();
    let file = root().join("README.md");
    let text = fs::read_to_string(&file).unwrap();
    let [begin, end] = LIST;
    let (before, rest) = text.split_once(begin).unwrap_or_else(|| panic!("README.md has no line `{begin}`"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("README.md has no line `{end}`"));
    let links: Vec<String> = library
        .specs()
        .map(|spec| {
            let title = spec.title().unwrap_or(spec.name());
            format!("[{title}](docs/providers/{}.md)", spec.name())
        })
        .collect();
    fresh(&file, &format!("{before}{begin}\n{}\n{end}{after}", links.join(" ·\n")));
}

/// The command prints the same pages.
#[test]
fn command_prints_the_pages() {
    let library = loaded();
    let spec = library.specs().next().unwrap();
    let printed = interlingua_tests::binary::output(&["providers", "--markdown"]);
    assert!(printed == pages::index(library.specs()).unwrap(), "{printed}");
    let printed = interlingua_tests::binary::output(&["providers", spec.name(), "--markdown"]);
    assert!(printed == pages::page(spec, true).unwrap(), "{printed}");
}

/// Nothing of this is inherited: each file answers for itself.
#[test]
fn specs_say_where_they_come_from() {
    let mut complaints = String::new();
    let mut count = 0;
    for source in library::built_in() {
        count += 1;
        let mut complain = |what: &str| writeln!(complaints, "{}: {what}", source.path).unwrap();
        let comment: Vec<&str> = source
            .text
            .lines()
            .map_while(|line| line.strip_prefix('#'))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        let said = comment.iter().position(|line| SOURCES.iter().any(|words| line.starts_with(words)));
        match said.and_then(|at| comment.get(at..)) {
            None => complain("the comment at the head has no line `Sources, read YEAR-MONTH-DAY: ...`"),
            Some(lines) => {
                let words = SOURCES.iter().find_map(|words| lines[0].strip_prefix(words)).unwrap();
                let (date, rest) = words.split_at_checked(10).unwrap_or((words, ""));
                if !is_date(date) || !rest.starts_with(':') {
                    complain("the sources are without the day on which they were read: `YEAR-MONTH-DAY:`");
                }
                // A list of sources begins on the next line.
                if [rest, lines.get(1).unwrap_or(&"")]
                    .iter()
                    .all(|text| text.trim_matches([':', ' ']).is_empty())
                {
                    complain("no source is named");
                }
            }
        }
        let file: Value = serde_yaml::from_str(&source.text).unwrap();
        for key in ["title", "docs", "status"] {
            if file[key].as_str().is_none_or(str::is_empty) {
                complain(&format!("no `{key}`"));
            }
        }
    }
    assert!(count > 0 && complaints.is_empty(), "{complaints}");
}

/// `2026-11-22`, on any calendar that may be.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let number = |text: &str, digits: usize| {
        text.parse::<u32>()
            .ok()
            .filter(|_| text.len() == digits && text.bytes().all(|it| it.is_ascii_digit()))
    };
    number(year, 4).is_some_and(|year| year >= 2024)
        && number(month, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(day, 2).is_some_and(|day| (1..=31).contains(&day))
}

#[test]
fn dates() {
    for good in ["2026-11-22", "2025-01-31"] {
        assert!(is_date(good), "{good}");
    }
    for bad in
        ["", "2026-1-22", "2026-13-01", "2026-11-00", "26-11-22", "2026-11", "2026-11-+2", "yesterday!"]
    {
        assert!(!is_date(bad), "{bad}");
    }
}
