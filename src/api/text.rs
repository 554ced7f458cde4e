//! JSON written by hand, for answers that a sale makes by the hundred thousand.
//!
//! It knows how numbers, strings, instants and money look. It must not know resources.

use seckill_shards::clock::Timestamp;

/// Writes text as it is.
pub(super) fn raw(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Writes a number in decimal.
pub(super) fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + u8::try_from(number % 10).expect("a decimal digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}

/// Writes a signed number in decimal.
pub(super) fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    number(out, value.unsigned_abs());
}

/// Writes an id: a decimal string, since a JavaScript number would lose digits.
pub(super) fn id(out: &mut Vec<u8>, id: impl Into<u64>) {
    out.push(b'"');
    number(out, id.into());
    out.push(b'"');
}

/// Writes a string with what JSON wants escaped.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => raw(out, "\\n"),
            b'\r' => raw(out, "\\r"),
            b'\t' => raw(out, "\\t"),
            0..=0x1f => {
                raw(out, "\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes a number in hexadecimal, with all its leading zeros.
pub(super) fn hex(out: &mut Vec<u8>, number: impl Into<u64> + Copy) {
    let digits = size_of_val(&number) * 2;
    let number = number.into().to_le_bytes();
    out.extend((0..digits).rev().map(|place| {
        let byte = number[place / 2];
        HEX[usize::from(if place % 2 == 0 { byte & 15 } else { byte >> 4 })]
    }));
}

/// Writes `{"amount":…,"currency":…}`, in minor units.
pub(super) fn money(out: &mut Vec<u8>, amount: i64, currency: [u8; 3]) {
    raw(out, "{\"amount\":");
    signed(out, amount);
    raw(out, ",\"currency\":\"");
    out.extend_from_slice(&currency);
    raw(out, "\"}");
}

/// The last instant that four digits of a year can write.
const LAST_MS: u64 = 253_402_300_799_999;

/// Writes an instant in RFC 3339, UTC, with milliseconds, in quotes. The calendar is Howard
/// Hinnant's `civil_from_days`.
pub(super) fn instant(out: &mut Vec<u8>, at: Timestamp) {
    let ms = at.0.min(LAST_MS);
    let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut text = *b"\"0000-00-00T00:00:00.000Z\"";
    put(&mut text[1..5], year);
    put(&mut text[6..8], month);
    put(&mut text[9..11], day);
    put(&mut text[12..14], ms / 3_600_000);
    put(&mut text[15..17], ms / 60_000 % 60);
    put(&mut text[18..20], ms / 1_000 % 60);
    put(&mut text[21..24], ms % 1_000);
    out.extend_from_slice(&text);
}

/// Writes a number over `digits`, with leading zeros.
fn put(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a decimal digit");
        number /= 10;
    }
}

/// An instant as JSON text.
pub(super) fn quoted_instant(at: Timestamp) -> String {
    let mut out = Vec::with_capacity(26);
    instant(&mut out, at);
    String::from_utf8(out).expect("digits and signs")
}

/// A list, its items written by `item`.
pub(super) fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, thing) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        item(out, thing);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 9, 10, 12_345, u64::MAX] {
            assert_eq!(text(|out| number(out, value)), value.to_string());
        }
        for value in [0, -1, i64::MIN, i64::MAX] {
            assert_eq!(text(|out| signed(out, value)), value.to_string());
        }
        assert_eq!(text(|out| hex(out, 0xab_u64)), "00000000000000ab");
    }

    #[test]
    fn strings_read_back_as_they_were() {
        for value in ["", "a\"b\\c", "\u{0}\u{1f}\u{7f}\n\r\t", "Ünïcödé \u{1f600}", "</script>"]
        {
            let json = text(|out| string(out, value));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
        }
    }

    #[test]
    fn instants_are_those_of_the_calendar() {
        let mut instants = vec![0, 951_782_399_999, 951_868_800_000, 1_795_737_600_000];
        instants.extend((0..10_000_u64).map(|step| step * 25_340_230_079));
        for ms in instants {
            let expected = jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap();
            let expected = expected.strftime("\"%Y-%m-%dT%H:%M:%S.%3fZ\"").to_string();
            assert_eq!(quoted_instant(Timestamp(ms)), expected);
        }
        assert_eq!(quoted_instant(Timestamp(u64::MAX)), "\"9999-12-31T23:59:59.999Z\"");
    }
}
