//! JSON compared by structure: the order of members is free, the literals of numbers are not.

use interlingua_engine::{Arena, ParseOptions, Value, parse, write_line};

/// Lines of a difference that are shown.
const MAX_LINES: usize = 40;

/// Nothing if both texts hold the same JSON, otherwise what differs.
pub(super) fn json(expected: &str, actual: &str) -> Result<(), String> {
    let arena = Arena::new();
    let expected =
        canonical(expected, &arena).map_err(|error| format!("the expectation is not JSON: {error}"))?;
    let actual = canonical(actual, &arena).map_err(|error| format!("the result is not JSON: {error}"))?;
    lines(&expected, &actual)
}

/// Nothing if both texts are the same, otherwise the lines around the first difference.
pub(super) fn lines(expected: &str, actual: &str) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    let (left, right): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let same = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
    let from = same.saturating_sub(2);
    let show = |mark: char, lines: &[&str]| -> String {
        let shown = lines.iter().skip(from).take(MAX_LINES / 2);
        shown.fold(String::new(), |text, line| text + &format!("{mark} {line}\n"))
    };
    Err(format!("{}{}", show('-', &left), show('+', &right)))
}

fn canonical(text: &str, arena: &Arena) -> Result<String, String> {
    let value = read(text, arena)?;
    let mut out = String::new();
    pretty(value, arena, true, 0, &mut out);
    Ok(out)
}

/// The same JSON, indented, members in their order.
pub(super) fn indented(text: &str) -> Result<String, String> {
    let arena = Arena::new();
    let value = read(text, &arena)?;
    let mut out = String::new();
    pretty(value, &arena, false, 0, &mut out);
    out.push('\n');
    Ok(out)
}

fn read<'a>(text: &str, arena: &'a Arena) -> Result<Value<'a>, String> {
    parse(arena.alloc_str(text), arena, &ParseOptions::lenient(512)).map_err(|error| error.to_string())
}

fn pretty<'a>(value: Value<'a>, arena: &'a Arena, sorted: bool, depth: usize, out: &mut String) {
    match value {
        Value::Object(object) if !object.members.is_empty() => {
            let mut members = object.members.to_vec();
            if sorted {
                members.sort_by_key(|(name, _)| *name);
            }
            out.push_str("{\n");
            for (place, (name, member)) in members.iter().enumerate() {
                out.push_str(&"  ".repeat(depth + 1));
                scalar(Value::Text(name), out);
                out.push_str(": ");
                pretty(*member, arena, sorted, depth + 1, out);
                out.push_str(if place + 1 < members.len() { ",\n" } else { "\n" });
            }
            out.push_str(&"  ".repeat(depth));
            out.push('}');
        }
        Value::Array(array) if !array.items.is_empty() => {
            out.push_str("[\n");
            for (place, item) in array.items.iter().enumerate() {
                out.push_str(&"  ".repeat(depth + 1));
                pretty(*item, arena, sorted, depth + 1, out);
                out.push_str(if place + 1 < array.items.len() { ",\n" } else { "\n" });
            }
            out.push_str(&"  ".repeat(depth));
            out.push(']');
        }
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => match other.text(arena) {
            // One spelling for every text.
            Some(text) => scalar(Value::Text(text), out),
            None => scalar(other, out),
        },
    }
}

fn scalar(value: Value<'_>, out: &mut String) {
    let mut json = Vec::new();
    write_line(value, &mut json);
    out.push_str(&String::from_utf8_lossy(&json));
}
