//! Days in UTC, as the data set's folders name them: `YYYY-MM-DD`.

const DAY_S: u64 = 86_400;
/// The first second of the year 10000: from here on a day has no name of ten characters.
const END_S: u64 = 253_402_300_800;

/// The day of an instant in seconds since 1970, or `None` from the year 10000 on.
pub fn day_of(unix_s: u64) -> Option<String> {
    if unix_s >= END_S {
        return None;
    }
    let (year, month, day) = civil(unix_s / DAY_S);
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// The minute of an instant, for people: `2026-11-23 08:45 UTC`; the bare seconds where the year has no four digits.
pub fn minute_of(unix_s: u64) -> String {
    let second = unix_s % DAY_S;
    match day_of(unix_s) {
        Some(day) => format!("{day} {:02}:{:02} UTC", second / 3600, second % 3600 / 60),
        None => format!("{unix_s} s after 1970"),
    }
}

/// Whether `text` names a day: ten characters, month and day within the calendar's largest.
pub fn is_day(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() });
    shaped && (1..=12).contains(&number(&text[5..7])) && (1..=31).contains(&number(&text[8..10]))
}

fn number(digits: &str) -> u32 {
    digits.parse().unwrap_or(0)
}

/// Year, month and day of a count of days since 1970.
///
/// Source: Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`, for days from 1970 on.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unix_s: u64, day: Option<&str>) {
        assert_eq!(day_of(unix_s).as_deref(), day, "{unix_s}");
        assert!(day.is_none_or(is_day), "{day:?}");
    }

    /// Known instants: both sides of a leap day, of a century that is none, and of the last year.
    #[test]
    fn days_are_those_of_the_calendar() {
        check(0, Some("1970-01-01"));
        check(951_782_399, Some("2000-02-28"));
        check(951_782_400, Some("2000-02-29"));
        check(951_868_800, Some("2000-03-01"));
        check(4_107_542_400, Some("2100-03-01"));
        check(4_107_542_399, Some("2100-02-28"));
        check(1_795_392_000, Some("2026-11-23"));
        check(253_402_300_799, Some("9999-12-31"));
        check(253_402_300_800, None);
        check(u64::MAX, None);
        assert_eq!(minute_of(1_795_392_000 + 31_500), "2026-11-23 08:45 UTC");
        assert_eq!(minute_of(u64::MAX), "18446744073709551615 s after 1970");
    }

    #[test]
    fn what_is_no_day_is_told() {
        for text in ["", "2026-11-2", "2026-13-01", "2026-00-01", "2026-01-32", "2026/01/01", "+026-01-01", "2026-1é-1"]
        {
            assert!(!is_day(text), "{text}");
        }
    }
}
