//! Figures and verdicts as words: three significant digits, always a unit, never `NaN` or `inf`.

use rtt_measure::{Arm, GateVerdict, Interval, Origin, Outcome, Point, Value, Verdict};
use rtt_units::{Bytes, Nanos};

/// What stands where a figure is missing.
pub const DASH: &str = "\u{2013}";
/// Between a figure and its unit: a space that does not break.
const THIN: char = '\u{202f}';

/// `value` with three significant digits, without an exponent; a dash for what is not finite (REPORT-2).
pub fn significant(value: f64) -> String {
    significant_digits(value, 3)
}

/// `value` with `digits` significant digits; whole digits are never rounded away.
pub fn significant_digits(value: f64, digits: i32) -> String {
    if !value.is_finite() {
        return DASH.into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = (digits - 1 - magnitude).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    match text.parse::<u64>() {
        Ok(whole) if whole >= 10_000 => count(whole),
        _ if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').into(),
        _ => text,
    }
}

/// A p99 or another latency in `unit`; nanoseconds take the largest fitting unit, as `1.77 µs`.
pub fn latency(value: f64, unit: &str) -> String {
    if !value.is_finite() {
        return DASH.into();
    }
    if unit != "ns" {
        return if unit.is_empty() { significant(value) } else { format!("{}{THIN}{unit}", significant(value)) };
    }
    let steps = [("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0)];
    // 999.5 rounds to 1000 with three digits: it belongs to the next unit.
    let (suffix, scale) = steps.into_iter().find(|(_, scale)| value.abs() >= scale * 0.9995).unwrap_or(("ns", 1.0));
    format!("{}{THIN}{suffix}", significant(value / scale))
}

/// Whole nanoseconds.
pub fn nanos(value: u64) -> String {
    latency(value as f64, "ns")
}

/// A span of run time from milliseconds, as `2 min 5 s`.
pub fn span_ms(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) if s < 10 => format!("{}{THIN}s", significant(ms as f64 / 1000.0)),
        (0, 0, s) => format!("{s}{THIN}s"),
        (0, m, s) => format!("{m}{THIN}min {s}{THIN}s"),
        (h, m, _) => format!("{h}{THIN}h {m}{THIN}min"),
    }
}

/// The ends of an interval, as `398 ns to 431 ns`.
pub fn ends(interval: &Interval, unit: &str) -> String {
    format!("{} to {}", latency(interval.low, unit), latency(interval.high, unit))
}

/// A ratio of tuned over incumbent as a change, as `65 % lower`.
pub fn change(ratio: f64) -> String {
    if !ratio.is_finite() || ratio <= 0.0 {
        return DASH.into();
    }
    let percent = (ratio - 1.0).abs() * 100.0;
    // Near 100 % lower it is the last digits that tell: 99.68 % is three times as fast as 99 %.
    let near_all = ratio < 0.02;
    let figure = match percent {
        _ if near_all => format!("{:.*}", (-ratio.log10()).ceil() as usize, percent),
        ten if ten >= 10.0 => format!("{ten:.0}"),
        small => significant((small * 10.0).round() / 10.0),
    };
    match ratio {
        _ if figure == "0" => "equal".into(),
        r if r >= 3.0 => format!("{} times as high", significant(r)),
        r if r > 1.0 => format!("{figure}{THIN}% higher"),
        _ => format!("{figure}{THIN}% lower"),
    }
}

/// The ends of an interval of ratios as changes, as `2.1 % lower to 3 % higher`.
pub fn change_ends(ratio: &Interval) -> String {
    format!("{} to {}", change(ratio.low), change(ratio.high))
}

/// A ratio that lies near 1, as `1.034×` and `0.940×`: the digits before the thousandths tell little.
pub fn ratio(ratio: f64) -> String {
    if (0.1..10.0).contains(&ratio) { format!("{ratio:.3}×") } else { times(ratio) }
}

/// A share as per cent, as `5 %`.
pub fn percent(share: f64) -> String {
    percent_digits(share, 3)
}

/// A share as per cent with `digits` significant digits.
pub fn percent_digits(share: f64, digits: i32) -> String {
    if share.is_finite() { format!("{}{THIN}%", significant_digits(share * 100.0, digits)) } else { DASH.into() }
}

/// A multiple, as `2.87×`.
pub fn times(ratio: f64) -> String {
    if ratio.is_finite() { format!("{}×", significant(ratio)) } else { DASH.into() }
}

/// A multiple of a limit: two digits below 1, where a third would say nothing.
pub fn multiple(ratio: f64) -> String {
    if ratio.is_finite() && ratio < 1.0 { format!("{}×", significant_digits(ratio, 2)) } else { times(ratio) }
}

/// A count with its noun, as `1 core` and `2 cores`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A name from a file for a reader: without underscores, abbreviations as they are written.
pub fn name(text: &str) -> String {
    let words = text.split('_').map(|word| match word {
        "cpu" => "CPU",
        "smt" => "SMT",
        "l3" => "L3",
        "numa" => "NUMA",
        "thp" => "THP",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// At most `most` characters of `text`, with an ellipsis where it was cut.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.into() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

/// A share of `count` in `of`, as `3 of 40 (7.5 %)`.
pub fn share(count: usize, of: usize) -> String {
    if of == 0 {
        return "0 of 0".into();
    }
    format!("{count} of {of} ({}{THIN}%)", significant_digits(count as f64 * 100.0 / of as f64, 2))
}

/// A whole number with thin spaces between thousands.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(THIN);
        }
        text.push(digit);
    }
    text
}

/// Thousandths of a CPU as CPUs, as `1.02 CPUs`.
pub fn cpus(millicores: f64) -> String {
    if millicores.is_finite() { format!("{}{THIN}CPU", significant(millicores / 1000.0)) } else { DASH.into() }
}

/// A size in bytes, as `64 KiB`.
pub fn bytes(value: u64) -> String {
    let text = Bytes(value).to_string();
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    format!("{}{THIN}{}", &text[..split], &text[split..])
}

/// The value of an axis, with the unit that the axis' name carries.
pub fn axis_value(axis: &str, value: &Value) -> String {
    match value {
        Value::Integer(n) if axis.ends_with("_bytes") && *n >= 0 => bytes(n.unsigned_abs()),
        Value::Integer(n) if axis.ends_with("_us") && *n > 0 => nanos(Nanos::from_micros(n.unsigned_abs()).0),
        Value::Integer(0) if axis.ends_with("_us") => "0".into(),
        Value::Integer(n) => n.to_string(),
        Value::Real(x) => significant(*x),
        Value::Text(text) => name(text),
    }
}

/// The name of an axis for a reader: without its unit, without underscores.
pub fn axis_name(axis: &str) -> String {
    let bare = ["_bytes", "_us", "_ns"].iter().find_map(|unit| axis.strip_suffix(unit)).unwrap_or(axis);
    name(bare)
}

/// A value that a fit wrote as text, read back so that it prints with its unit.
pub fn axis_text(axis: &str, text: &str) -> String {
    match text.parse::<i64>() {
        Ok(n) => axis_value(axis, &Value::Integer(n)),
        Err(_) => text.parse::<f64>().map_or_else(|_| name(text), significant),
    }
}

/// A point in one line.
pub fn point(point: &Point) -> String {
    let parts = point.iter().map(|(axis, value)| format!("{} {}", axis_name(axis), axis_value(axis, value)));
    parts.collect::<Vec<_>>().join(", ")
}

/// Who proposed a point.
pub fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Start(name) => format!("start: {name}"),
        Origin::LatinHypercube => "Latin hypercube".into(),
        Origin::Model => "model".into(),
        Origin::Random => "random search".into(),
        Origin::Preset(name) => format!("preset: {name}"),
    }
}

/// Whose run a trial is.
pub const fn arm(arm: Arm) -> &'static str {
    match arm {
        Arm::Search => "search",
        Arm::Default => "default",
        Arm::Incumbent => "incumbent",
        Arm::Placebo => "placebo",
        Arm::Control => "control",
        Arm::Base => "base",
        Arm::Candidate => "candidate",
    }
}

/// How a trial ended.
pub const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Settled => "settled",
        Verdict::NeverSettled => "never settled",
        Verdict::Void => "void",
        Verdict::Crashed => "crashed",
    }
}

/// The outcome in a word or two.
pub const fn outcome(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Better) => "Better",
        Some(Outcome::NoBetter) => "No better",
        Some(Outcome::Undecided) => "Undecided",
        None => "Interrupted",
    }
}

/// A gate's verdict in one word.
pub const fn gate_verdict(verdict: GateVerdict) -> &'static str {
    match verdict {
        GateVerdict::Pass => "PASS",
        GateVerdict::Undecided => "UNDECIDED",
        GateVerdict::Breach => "BREACH",
        GateVerdict::Fail => "FAIL",
    }
}

/// The class of a gate's verdict in the style sheet.
pub const fn gate_class(verdict: GateVerdict) -> &'static str {
    match verdict {
        GateVerdict::Pass => "pass",
        GateVerdict::Undecided => "undecided",
        GateVerdict::Breach => "breach",
        GateVerdict::Fail => "fail",
    }
}

/// `calm` or `under faults`.
pub const fn condition(faulted: bool) -> &'static str {
    if faulted { "under faults" } else { "calm" }
}

/// Seconds since 1970 as `2026-11-23 08:45 UTC`.
///
/// Source: Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
pub fn date(unix_s: u64) -> String {
    let days = unix_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", unix_s / 3600 % 24, unix_s / 60 % 60)
}

/// A word of a command line, quoted for a shell where it must be.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_take_the_largest_fitting_unit() {
        for (value, text) in [
            (0.0, "0 ns"),
            (0.42, "0.42 ns"),
            (421.0, "421 ns"),
            (999.4, "999 ns"),
            (999.6, "1 µs"),
            (1766.0, "1.77 µs"),
            (90_100.0, "90.1 µs"),
            (4.19e6, "4.19 ms"),
            (7.2e10, "72 s"),
        ] {
            assert_eq!(latency(value, "ns").replace(THIN, " "), text);
        }
        assert_eq!(latency(36.06, "us").replace(THIN, " "), "36.1 us");
        assert_eq!(latency(19_206.4, "us").replace(THIN, " "), "19 206 us");
    }

    #[test]
    fn report_2_what_is_not_finite_is_a_dash() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for text in [
                significant(value),
                latency(value, "ns"),
                latency(value, "x"),
                times(value),
                change(value),
                ratio(value),
                percent(value),
            ] {
                assert_eq!(text, DASH);
            }
            assert_eq!(cpus(value), DASH);
        }
    }

    #[test]
    fn a_ratio_reads_as_a_change() {
        for (ratio, text) in [
            (0.35, "65 % lower"),
            (1.0, "equal"),
            (1.034, "3.4 % higher"),
            (0.9996, "equal"),
            (3.5, "3.5 times as high"),
        ] {
            assert_eq!(change(ratio).replace(THIN, " "), text, "{ratio}");
        }
    }

    #[test]
    fn values_carry_the_unit_of_their_axis() {
        let check = |axis, value, text: &str| assert_eq!(axis_value(axis, &value).replace(THIN, " "), text);
        check("ring_bytes", Value::Integer(65_536), "64 KiB");
        check("window_us", Value::Integer(20), "20 µs");
        check("window_us", Value::Integer(0), "0");
        check("batch", Value::Integer(32), "32");
        check("pin", Value::Text("same_l3".into()), "same L3");
        assert_eq!(axis_name("ring_bytes"), "ring");
    }

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_423_500), "2026-11-23 08:45 UTC");
    }

    #[test]
    fn shell_words_are_quoted_where_needed() {
        assert_eq!(shell_word("--seed=4"), "--seed=4");
        assert_eq!(shell_word("a b'c"), r"'a b'\''c'");
        assert_eq!(shell_word(""), "''");
    }
}
