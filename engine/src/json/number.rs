//! Numbers as literals: compared and added exactly where integers allow it.

use super::arena::Arena;
use std::cmp::Ordering;

/// The integer a literal stands for, if it is written as one and fits.
pub(crate) fn as_i64(literal: &str) -> Option<i64> {
    literal.parse().ok()
}

/// The nearest finite double.
pub(crate) fn as_f64(literal: &str) -> Option<f64> {
    literal.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// Orders two literals; none if one of them cannot be evaluated (`1e400`).
pub(crate) fn compare(left: &str, right: &str) -> Option<Ordering> {
    if let (Ok(a), Ok(b)) = (left.parse::<i128>(), right.parse::<i128>()) {
        return Some(a.cmp(&b));
    }
    as_f64(left)?.partial_cmp(&as_f64(right)?)
}

/// Whether two literals stand for the same number (`1`, `1.0` and `1e0` do).
pub(crate) fn same_number(left: &str, right: &str) -> bool {
    left == right || compare(left, right) == Some(Ordering::Equal)
}

/// Literals added up.
#[derive(Default)]
pub(crate) struct Sum<'a> {
    /// Counts, as usual.
    small: i64,
    count: usize,
    /// The first literal: alone it stays as it was written.
    first: &'a str,
    /// The sum once something else came.
    large: Option<String>,
}

impl<'a> Sum<'a> {
    /// None if the sum cannot be evaluated.
    pub(crate) fn add(&mut self, literal: &'a str) -> Option<()> {
        self.count += 1;
        if self.count == 1 {
            self.first = literal;
        }
        if self.large.is_none() {
            if let Some(small) = small(literal)
                && let Some(total) = self.small.checked_add(small)
            {
                self.small = total;
                return Some(());
            }
            if self.count == 1 {
                self.large = Some(literal.to_owned());
                return Some(());
            }
            self.large = Some(self.small.to_string());
        }
        let total = large_sum(self.large.as_deref()?, literal)?;
        self.large = Some(total);
        Some(())
    }

    /// The sum; none if nothing was added.
    pub(crate) fn literal(&self, arena: &'a Arena) -> Option<&'a str> {
        match (self.count, &self.large) {
            (0, _) => None,
            (1, _) => Some(self.first),
            (_, Some(large)) => Some(arena.alloc_str(large)),
            _ => Some(arena.digits(self.small)),
        }
    }
}

/// Fifteen digits at most.
fn small(literal: &str) -> Option<i64> {
    let digits = literal.as_bytes();
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

fn large_sum(left: &str, right: &str) -> Option<String> {
    if let (Ok(a), Ok(b)) = (left.parse::<i128>(), right.parse::<i128>()) {
        return Some(a.checked_add(b)?.to_string());
    }
    let total = as_f64(left)? + as_f64(right)?;
    total
        .is_finite()
        .then(|| serde_json::Number::from_f64(total).map_or_else(String::new, |number| number.to_string()))
}
