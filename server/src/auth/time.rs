//! Points in time as the protocols write them. Knows no clock.

/// Seconds of a day.
const DAY: u64 = 86_400;

/// `20150830T123600Z` of unix seconds.
pub(super) fn basic(unix: u64) -> String {
    let (year, month, day) = date(unix / DAY);
    let rest = unix % DAY;
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Unix seconds of `2015-08-30T12:36:00Z`, also with a fraction; None if it is written otherwise.
pub(super) fn unix(text: &str) -> Option<u64> {
    let (day, time) = text.trim().split_once('T')?;
    let time = time.strip_suffix('Z')?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let [year, month, day] = numbers(day, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    Some(days(year, month, day)? * DAY + hour * 3600 + minute * 60 + second)
}

fn numbers(text: &str, between: char) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> = text.split(between).map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Year, month, day of days since 1970 (Howard Hinnant's `civil_from_days`).
pub(crate) fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let index = (5 * of_year + 2) / 153;
    let month = if index < 10 { index + 3 } else { index - 9 };
    (year + era * 400 + u64::from(month <= 2), month, of_year - (153 * index + 2) / 5 + 1)
}

/// Days since 1970; the inverse of `date`. None before it.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let index = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * index + 2) / 5 + day - 1;
    let of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
    (year / 400 * 146_097 + of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::{basic, unix};

    #[test]
    fn both_ways() {
        for (seconds, short, long) in [
            (0, "19700101T000000Z", "1970-01-01T00:00:00Z"),
            (951_782_400, "20000229T000000Z", "2000-02-29T00:00:00Z"),
            (1_440_938_160, "20150830T123600Z", "2015-08-30T12:36:00Z"),
            (4_107_542_399, "21000228T235959Z", "2100-02-28T23:59:59.999Z"),
        ] {
            assert_eq!(basic(seconds), short);
            assert_eq!(unix(long), Some(seconds), "{long}");
        }
        for text in
            ["", "2015-08-30", "2015-13-30T12:36:00Z", "2015-08-30T12:36:00+02:00", "1969-12-31T00:00:00Z"]
        {
            assert_eq!(unix(text), None, "{text}");
        }
    }
}
