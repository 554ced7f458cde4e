//! Money, instants, durations and counts, as a shopper reads them.
//! It must not know pages: it turns numbers into text and nothing else.

use jiff::Timestamp;

/// An amount in the minor units of its currency.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Money {
    /// Minor units: 19900 is 199.00 in a currency with two digits.
    pub amount: i64,
    /// The ISO 4217 code, for example `USD`.
    pub currency: String,
}

impl Money {
    /// The text of `Intl.NumberFormat("en")` for the same money, so that a price does not change
    /// its look when the page's script shows it again.
    pub(crate) fn text(&self) -> String {
        let digits = minor_digits(&self.currency);
        let unit = 10_u64.pow(digits);
        let amount = self.amount.unsigned_abs();
        let sign = if self.amount < 0 { "-" } else { "" };
        let whole = grouped(amount / unit);
        let symbol = symbol(&self.currency);
        let gap = if symbol.is_some() { "" } else { "\u{a0}" };
        let symbol = symbol.unwrap_or(&self.currency);
        match digits {
            0 => format!("{sign}{symbol}{gap}{whole}"),
            _ => {
                let width = digits as usize;
                format!("{sign}{symbol}{gap}{whole}.{:0width$}", amount % unit)
            }
        }
    }
}

/// Digits after the point, from ISO 4217; `assets/format.js` holds the same table.
fn minor_digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// The sign that an English reader knows without its code.
fn symbol(currency: &str) -> Option<&'static str> {
    match currency {
        "USD" => Some("$"),
        "EUR" => Some("€"),
        "GBP" => Some("£"),
        "JPY" => Some("¥"),
        "CNY" => Some("CN¥"),
        "INR" => Some("₹"),
        _ => None,
    }
}

/// A count with its thousands apart: `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An instant in UTC as a person reads it; `millis` since the Unix epoch, seconds only where
/// there are any.
pub(crate) fn instant_text(millis: u64) -> String {
    let instant = instant(millis);
    let whole_minute = instant.as_second() % 60 == 0;
    let pattern = if whole_minute { "%-d %B %Y, %H:%M UTC" } else { "%-d %B %Y, %H:%M:%S UTC" };
    instant.strftime(pattern).to_string()
}

/// The same instant for a `datetime` attribute: RFC 3339 with milliseconds, like the API's.
pub(crate) fn instant_attribute(millis: u64) -> String {
    instant(millis).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// An instant past what the calendar can write is shown as the last one that it can.
fn instant(millis: u64) -> Timestamp {
    i64::try_from(millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .unwrap_or(Timestamp::MAX)
}

/// A length of time in its two largest units: `15 minutes`, `1 hour 30 minutes`.
pub(crate) fn duration_text(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "day"),
        (seconds / 3_600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let named: Vec<String> = parts
        .into_iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| counted(count, unit))
        .collect();
    if named.is_empty() { counted(0, "second") } else { named.join(" ") }
}

/// `1 unit`, `2 units`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::{Money, counted, duration_text, grouped, instant_attribute, instant_text};

    /// `tests/scripts/format.test.js` holds the same cases.
    #[test]
    fn money_reads_as_in_a_shop() {
        let cases = [
            (19_900, "USD", "$199.00"),
            (5, "USD", "$0.05"),
            (0, "EUR", "€0.00"),
            (-150, "GBP", "-£1.50"),
            (123_456_789, "USD", "$1,234,567.89"),
            (1_200, "JPY", "¥1,200"),
            (1_200, "CNY", "CN¥12.00"),
            (12_345, "KWD", "KWD\u{a0}12.345"),
            (9_900, "CHF", "CHF\u{a0}99.00"),
        ];
        for (amount, currency, text) in cases {
            let money = Money { amount, currency: currency.to_owned() };
            assert_eq!(money.text(), text);
        }
        let least = Money { amount: i64::MIN, currency: "USD".to_owned() };
        assert_eq!(least.text(), "-$92,233,720,368,547,758.08");
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
        assert_eq!(counted(1, "unit"), "1 unit");
        assert_eq!(counted(1_000, "unit"), "1,000 units");
    }

    #[test]
    fn instants_read_in_utc() {
        assert_eq!(instant_text(1_795_737_600_000), "27 November 2026, 00:00 UTC");
        assert_eq!(instant_text(1_795_737_630_250), "27 November 2026, 00:00:30 UTC");
        assert_eq!(instant_attribute(1_795_737_630_250), "2026-11-27T00:00:30.250Z");
        assert!(instant_text(u64::MAX).contains("9999"));
    }

    #[test]
    fn durations_read_in_two_units() {
        let cases = [
            (0, "0 seconds"),
            (1, "1 second"),
            (90, "1 minute 30 seconds"),
            (900, "15 minutes"),
            (3_601, "1 hour"),
            (5_400, "1 hour 30 minutes"),
            (604_800, "7 days"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration_text(seconds), text);
        }
    }
}
