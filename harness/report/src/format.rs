//! Figures for people: three significant digits at most, and a unit that suits.

use lumos_model::Verdict;

use super::schema::{CaseEstimate, CaseRatio};
use super::table::Ratio;

/// Three significant digits, without an exponent.
fn three_digits(value: f64) -> String {
    digits(value, 0.0)
}

/// Three significant digits at most, and none behind the first one of `reach`: how far the truth
/// may be from the figure.
fn digits(value: f64, reach: f64) -> String {
    // The magnitude after rounding: 9.996 becomes 10.0, not 10.00.
    let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let rounded_up = (value.abs() / 10f64.powf(magnitude - 2.0)).round() >= 1000.0;
    let finest = (magnitude - 2.0 + f64::from(u8::from(rounded_up))).max(-9.0);
    let place = match reach > 0.0 {
        true => reach.log10().floor().clamp(finest, magnitude.max(finest)),
        false => finest,
    };
    if place > 0.0 {
        let step = 10f64.powf(place);
        return format!("{:.0}", (value / step).round() * step);
    }
    format!("{value:.*}", -place as usize)
}

/// How far the ends of an interval are from its figure.
fn reach(value: f64, [low, high]: [f64; 2]) -> f64 {
    (high - value).max(value - low)
}

/// A case's median with the digits that its interval supports.
pub fn estimate(found: &CaseEstimate) -> String {
    known_duration(found.median, [found.low, found.high])
}

/// A case's ratio; see [`verdict_ratio`].
pub fn case_ratio(found: &CaseRatio) -> String {
    judged(found.ratio, [found.low, found.high], found.verdict.as_deref())
}

/// A ratio with the digits that its interval supports. Where that leaves open which side is faster
/// it is the interval: a figure would be taken for a finding.
pub fn verdict_ratio(found: &Ratio) -> String {
    judged(found.ratio, [found.low, found.high], found.verdict.as_deref())
}

fn judged(ratio: f64, ends: [f64; 2], verdict: Option<&str>) -> String {
    match verdict == Some(Verdict::Inconclusive.name()) {
        true => ends_of_ratio(ends),
        false => known_ratio(ratio, ends),
    }
}

/// A time in nanoseconds with as many digits as its interval supports.
pub fn known_duration(time_ns: f64, ends_ns: [f64; 2]) -> String {
    with_unit_and_reach(time_ns, reach(time_ns, ends_ns), &TIMES)
}

/// A size with as many digits as its interval supports.
pub fn known_bytes(size_bytes: f64, ends_bytes: [f64; 2]) -> String {
    match size_bytes < 1024.0 {
        true => bytes(size_bytes),
        false => with_unit_and_reach(size_bytes, reach(size_bytes, ends_bytes), &SIZES),
    }
}

/// A ratio with as many digits as its interval supports.
pub fn known_ratio(value: f64, ends: [f64; 2]) -> String {
    format!("{}×", digits(value, reach(value, ends)))
}

/// Both ends of an interval, with as many digits as its width is worth; one where they look alike.
pub fn ends_of_ratio(ends: [f64; 2]) -> String {
    let width = (ends[1] - ends[0]) / 10.0;
    let [low, high] = ends.map(|end| digits(end, width));
    match low == high {
        true => format!("{low}×"),
        false => format!("{low}–{high}×"),
    }
}

/// The units of times in nanoseconds.
const TIMES: [(f64, &str); 4] = [(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")];

/// The units of sizes in bytes, from one KiB on.
const SIZES: [(f64, &str); 3] = [(1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB")];

/// Picks the unit in which the rounded figure is at least 1.
fn with_unit(value: f64, units: &[(f64, &str)]) -> String {
    with_unit_and_reach(value, 0.0, units)
}

fn with_unit_and_reach(value: f64, reach: f64, units: &[(f64, &str)]) -> String {
    let (scale, unit) = units
        .iter()
        .copied()
        .take_while(|(scale, _)| value.abs() >= scale * 0.9995)
        .last()
        .unwrap_or(units[0]);
    format!("{} {unit}", digits(value / scale, reach / scale))
}

/// A time in nanoseconds: `27.4 ns`, `612 µs`, `2.41 ms`, `1.20 s`.
pub fn duration(time_ns: f64) -> String {
    with_unit(time_ns, &TIMES)
}

/// A power of ten of nanoseconds, for the marks of a scale: `100 ns`, `1 ms`.
pub fn decade(time_ns: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let fits = units.into_iter().find(|(scale, _)| time_ns >= scale * 0.999);
    let (scale, unit) = fits.unwrap_or((1.0, "ns"));
    // Rounded, because powers of ten below 1 are not exact in binary.
    format!("{} {unit}", (time_ns / scale * 1e3).round() / 1e3)
}

/// A size: `512 B`, `113 KiB`, `1.24 MiB`.
pub fn bytes(size_bytes: f64) -> String {
    if size_bytes < 1024.0 {
        return format!("{size_bytes:.0} B");
    }
    with_unit(size_bytes, &SIZES)
}

/// A power of ten of bytes, for the marks of a scale: `100 B`, `1 kB`, `10 MB`.
pub fn byte_decade(size_bytes: f64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let fits = units.into_iter().find(|(scale, _)| size_bytes >= scale * 0.999);
    let (scale, unit) = fits.unwrap_or((1.0, "B"));
    format!("{} {unit}", (size_bytes / scale).round())
}

/// A whole number: `7`, `12,300`; from a million on with three digits, `1.23 million`.
pub fn count(number: u64) -> String {
    let units = [(1e6, "million"), (1e9, "billion"), (1e12, "trillion")];
    if number >= 1_000_000 {
        return with_unit(number as f64, &units);
    }
    let digits = number.to_string();
    match digits.len().checked_sub(3) {
        None | Some(0) => digits,
        Some(split) => format!("{},{}", &digits[..split], &digits[split..]),
    }
}

/// A ratio: `1.10×`.
pub fn ratio(value: f64) -> String {
    format!("{}×", three_digits(value))
}

/// Both ends of an interval: `1.05–1.15×`.
pub fn ratio_interval(low: f64, high: f64) -> String {
    format!("{}–{}×", three_digits(low), three_digits(high))
}

/// Both ends of an interval, in one format.
pub fn interval(low: f64, high: f64, format: fn(f64) -> String) -> String {
    let (low, high) = (format(low), format(high));
    if low == high {
        return low;
    }
    match (low.rsplit_once(' '), high.rsplit_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number}–{high}"),
        _ => format!("{low} – {high}"),
    }
}

/// A moment in milliseconds since 1970 as `2026-05-04 13:37 UTC`.
pub fn moment(unix_ms: u64) -> String {
    let minutes = unix_ms / 60_000;
    let (year, month, day) = civil(minutes / (24 * 60));
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// The Gregorian date of a day counted from 1970-01-01: steps through years, then months.
fn civil(mut days: u64) -> (u64, u64, u64) {
    // 400 years are always 146,097 days, so that far dates take no longer.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if days < length {
            return (year, month, days + 1);
        }
        days -= length;
    }
    (year, 12, 31)
}

/// What somebody types to begin such a run, without the folders of the machine that did.
pub fn command(command_line: &[String]) -> String {
    let Some((program, rest)) = command_line.split_first() else {
        return "unknown".into();
    };
    let program = program.rsplit('/').next().unwrap_or(program);
    let begin = match program {
        "xtask" => "cargo xtask".into(),
        // A bench target is called `<name>-<hash>` and is started by Cargo with `--bench`.
        _ if rest.iter().any(|argument| argument == "--bench") => "cargo bench --".into(),
        _ => program.to_owned(),
    };
    let rest = rest.iter().map(String::as_str).filter(|argument| *argument != "--bench");
    let words: Vec<&str> = std::iter::once(begin.as_str()).chain(rest).collect();
    let command = words.join(" ");
    command.strip_suffix(" --").unwrap_or(&command).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit_that_suits() {
        assert_eq!(duration(0.0), "0.00 ns");
        assert_eq!(duration(27.44), "27.4 ns");
        assert_eq!(duration(612_345.0), "612 µs");
        assert_eq!(duration(999.7), "1.00 µs");
        assert_eq!(duration(9_996.0), "10.0 µs");
        assert_eq!(duration(2_414_000.0), "2.41 ms");
        assert_eq!(duration(3.2e12), "3200 s");
        assert_eq!(decade(1e6), "1 ms");
        assert_eq!(decade(0.1), "0.1 ns");
        assert_eq!(decade(1e11), "100 s");
        assert_eq!([1.0, 1e2, 1e3, 1e7].map(byte_decade), ["1 B", "100 B", "1 kB", "10 MB"]);
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(113.0 * 1024.0), "113 KiB");
        assert_eq!(bytes(1.24 * 1024.0 * 1024.0), "1.24 MiB");
        assert_eq!([7, 999, 1_000].map(count), ["7", "999", "1,000"]);
        assert_eq!([12_345, 999_999].map(count), ["12,345", "999,999"]);
        assert_eq!([1_000_000, 2_345_678_901].map(count), ["1.00 million", "2.35 billion"]);
        assert_eq!(ratio(1.1), "1.10×");
        assert_eq!(ratio(699.4), "699×");
        assert_eq!(ratio(0.0123), "0.0123×");
    }

    #[test]
    fn figures_have_no_more_digits_than_are_known() {
        let duration = |time_ns: f64, reach_ns: f64| {
            known_duration(time_ns, [time_ns - reach_ns / 2.0, time_ns + reach_ns])
        };
        assert_eq!(duration(2_414_000.0, 4_000.0), "2.41 ms");
        assert_eq!(duration(2_414_000.0, 50_000.0), "2.41 ms");
        assert_eq!(duration(2_414_000.0, 300_000.0), "2.4 ms");
        assert_eq!(duration(2_414_000.0, 1e6), "2 ms");
        assert_eq!(duration(2_414_000.0, 9e9), "2 ms");
        assert_eq!(duration(347_000.0, 80_000.0), "350 µs");
        assert_eq!(duration(27.44, 0.0), "27.4 ns");
        assert_eq!(known_ratio(1.234, [1.21, 1.26]), "1.23×");
        assert_eq!(known_ratio(1.234, [0.9, 1.5]), "1.2×");
        assert_eq!(known_ratio(12.34, [1.0, 90.0]), "10×");
        assert_eq!(ends_of_ratio([0.612, 1.42]), "0.61–1.42×");
        assert_eq!(ends_of_ratio([0.98, 1.04]), "0.980–1.04×");
        assert_eq!(ends_of_ratio([1.249, 1.251]), "1.25×");
    }

    #[test]
    fn an_interval_names_a_shared_unit_once() {
        assert_eq!(interval(1.2e6, 1.3e6, duration), "1.20–1.30 ms");
        assert_eq!(interval(9.2e5, 1.3e6, duration), "920 µs – 1.30 ms");
    }

    #[test]
    fn moments_are_gregorian() {
        assert_eq!(moment(0), "1970-01-01 00:00 UTC");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(moment(1_777_901_820_000), "2026-05-04 13:37 UTC");
        assert_eq!(moment(4_107_542_400_000), "2100-03-01 00:00 UTC");
        assert!(moment(u64::MAX).ends_with("UTC"));
    }

    #[test]
    fn a_command_is_what_somebody_types() {
        let command = |words: &[&str]| {
            super::command(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(command(&["/x/release/xtask", "bench", "-p"]), "cargo xtask bench -p");
        assert_eq!(command(&["/x/deps/fake-0a1b", "json", "--bench"]), "cargo bench -- json");
        assert_eq!(command(&["/x/deps/fake-0a1b", "--bench"]), "cargo bench");
        assert_eq!(command(&[]), "unknown");
    }
}
