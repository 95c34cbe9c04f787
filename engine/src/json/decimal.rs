//! Decimal numbers as they are written: multiplied and added exactly.

/// Most digits behind the point, or zeros behind the digits.
const MAX_EXPONENT: i32 = 60;

/// `digits` times ten to the power of `exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    pub(crate) const ZERO: Decimal = Decimal { digits: 0, exponent: 0 };
    pub(crate) const ONE: Decimal = Decimal { digits: 1, exponent: 0 };

    /// The number that a JSON literal stands for, if it has few enough digits.
    pub(crate) fn parse(literal: &str) -> Option<Decimal> {
        let (mantissa, exponent) = match literal.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (literal, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}").parse().ok()?;
        let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        Some(Decimal { digits, exponent }.short()).filter(|it| it.exponent.abs() <= MAX_EXPONENT)
    }

    pub(crate) fn times(self, other: Decimal) -> Option<Decimal> {
        let digits = self.digits.checked_mul(other.digits)?;
        Some(Decimal { digits, exponent: self.exponent.checked_add(other.exponent)? }.short())
    }

    pub(crate) fn plus(self, other: Decimal) -> Option<Decimal> {
        let exponent = self.exponent.min(other.exponent);
        let at = |number: Decimal| {
            let zeros = u32::try_from(number.exponent.checked_sub(exponent)?).ok()?;
            number.digits.checked_mul(10_i128.checked_pow(zeros)?)
        };
        Some(Decimal { digits: at(self)?.checked_add(at(other)?)?, exponent }.short())
    }

    /// The same number without zeros at the end.
    fn short(mut self) -> Decimal {
        if self.digits == 0 {
            return Decimal::ZERO;
        }
        while self.digits % 10 == 0 {
            self.digits /= 10;
            self.exponent += 1;
        }
        self
    }

    /// The number as JSON, without an exponent; none if that would be long.
    pub(crate) fn literal(self) -> Option<String> {
        if self.exponent.abs() > MAX_EXPONENT {
            return None;
        }
        let zeros = usize::try_from(self.exponent).unwrap_or(0);
        let mut text = self.digits.unsigned_abs().to_string() + &"0".repeat(zeros);
        let behind = usize::try_from(-self.exponent).unwrap_or(0);
        if behind > 0 {
            if text.len() <= behind {
                text.insert_str(0, &"0".repeat(behind + 1 - text.len()));
            }
            text.insert(text.len() - behind, '.');
        }
        if self.digits < 0 {
            text.insert(0, '-');
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(number: &str, times: &str, plus: &str, expected: Option<&str>) {
        let parse = |text| Decimal::parse(text);
        let scaled = (|| parse(number)?.times(parse(times)?)?.plus(parse(plus)?)?.literal())();
        assert_eq!(scaled.as_deref(), expected, "{number} * {times} + {plus}");
    }

    #[test]
    fn exact() {
        check("0.7", "0.5", "0", Some("0.35"));
        check("0.1", "3", "0", Some("0.3"));
        check("1.5", "1000", "0", Some("1500"));
        check("-2", "0.5", "1", Some("0"));
        check("-0.0", "1", "0", Some("0"));
        check("1e3", "1e-5", "-0.02", Some("-0.01"));
        check("12345678901234567890", "0.001", "0", Some("12345678901234567.89"));
        check("1E+2", "1", "0.05", Some("100.05"));
        check("3", "-0.001", "0", Some("-0.003"));
        check("1e300", "1", "0", None);
        check("1e-300", "1", "0", None);
        check("1e40", "1e40", "0", None);
        check("170141183460469231731687303715884105727", "2", "0", None);
        check("1e99999999999", "1", "0", None);
        check("1e50", "1", "1", None);
        assert_eq!(Decimal::parse("x"), None);
    }
}
