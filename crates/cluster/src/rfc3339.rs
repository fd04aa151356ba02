//! Times as RFC 3339 text: what cluster files and lock files carry.

use flotilla_types::Timestamp;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Reads a time from 1970 to 2554 with any fraction and offset.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let (date_time, offset) = split_offset(text)?;
    let (date, time) = date_time.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, fraction) = time
        .split_once('.')
        .map_or((time, None), |(time, fraction)| (time, Some(fraction)));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range {
        return None;
    }
    let seconds =
        days_since_epoch(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second
            - offset;
    let nanos = u64::try_from(seconds).ok()?.checked_mul(NANOS_PER_SECOND)?;
    Some(Timestamp::from_nanos(
        nanos.checked_add(fraction.map_or(Some(0), fraction_nanos)?)?,
    ))
}

/// Writes a time in UTC with the shortest fraction.
pub(crate) fn format(time: Timestamp) -> String {
    let (seconds, nanos) = (
        time.as_nanos() / NANOS_PER_SECOND,
        time.as_nanos() % NANOS_PER_SECOND,
    );
    let (year, month, day) =
        date_of(i64::try_from(seconds / SECONDS_PER_DAY as u64).expect("a day number is small"));
    let of_day = seconds % SECONDS_PER_DAY as u64;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = match nanos {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Text without its offset, and the offset in seconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(rest) = text.strip_suffix(['Z', 'z']) {
        return Some((rest, 0));
    }
    let (rest, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let sign = match offset.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let [hours] = numbers(hours, ':', [2])?;
    let [minutes] = numbers(minutes, ':', [2])?;
    (hours < 24 && minutes < 60).then_some((rest, sign * (hours * 3600 + minutes * 60)))
}

/// Parts of exactly the given numbers of digits.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut values = [0; N];
    for (value, width) in values.iter_mut().zip(widths) {
        let part = parts
            .next()
            .filter(|part| part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *value = part.parse().ok()?;
    }
    parts.next().is_none().then_some(values)
}

/// Nanoseconds of the digits after the point; more than nine are cut.
fn fraction_nanos(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let nine: String = digits
        .chars()
        .chain(std::iter::repeat('0'))
        .take(9)
        .collect();
    nine.parse().ok().filter(|_| valid)
}

/// Days from 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The reverse, from the same source.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The time of a new definition: UTC, whole seconds.
#[must_use]
pub fn definition_timestamp(now: Timestamp) -> String {
    format(Timestamp::from_secs(now.as_nanos() / NANOS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_and_fractions_are_read() {
        let base = Timestamp::from_secs(1_658_247_598);
        for text in [
            "2022-07-19T18:19:58+02:00",
            "2022-07-19T16:19:58Z",
            "2022-07-19T11:19:58.000-05:00",
        ] {
            assert_eq!(parse(text), Some(base), "{text}");
        }
        let fraction = parse("1970-01-01T00:00:00.1234567891Z").unwrap();
        assert_eq!(fraction.as_nanos(), 123_456_789);
        assert_eq!(
            parse("2024-02-29T00:00:00Z").unwrap(),
            Timestamp::from_secs(1_709_164_800)
        );
    }

    #[test]
    fn other_texts_are_not_times() {
        for text in [
            "",
            "Z",
            "2022-07-19",
            "2022-7-19T16:19:58Z",
            "2022-13-19T16:19:58Z",
            "2022-07-19T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "2022-07-19T16:19:58",
            "2022-07-19T16:19:58.Z",
            "2022-07-19T16:19:58+2:00",
            "9999-01-01T00:00:00Z",
            "ü+00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn new_definitions_have_whole_seconds() {
        assert_eq!(
            definition_timestamp(Timestamp::from_millis(1_658_247_598_999)),
            "2022-07-19T16:19:58Z"
        );
    }

    proptest! {
        #[test]
        fn every_time_reads_back(nanos in any::<u64>()) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(parse(&format(time)), Some(time));
        }

        #[test]
        fn parse_never_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
