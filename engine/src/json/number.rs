//! Numbers as literals: compared and added exactly where integers allow it.

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

/// The sum as a literal; none if it cannot be evaluated.
pub(crate) fn sum(left: &str, right: &str) -> Option<String> {
    if let (Ok(a), Ok(b)) = (left.parse::<i128>(), right.parse::<i128>()) {
        return Some(a.checked_add(b)?.to_string());
    }
    let total = as_f64(left)? + as_f64(right)?;
    total
        .is_finite()
        .then(|| serde_json::Number::from_f64(total).map_or_else(String::new, |number| number.to_string()))
}
