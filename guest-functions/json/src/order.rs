//! What a request holds.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// An order. Text is borrowed from the request unless it holds escapes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order<'r> {
    /// The order's number.
    pub id: u64,
    /// Who ordered.
    #[serde(borrow)]
    pub customer: Cow<'r, str>,
    /// Where the order goes.
    #[serde(borrow)]
    pub city: Cow<'r, str>,
    /// The city's country.
    #[serde(borrow)]
    pub country: Cow<'r, str>,
    /// The day of the order.
    pub date: Date,
    /// What the customer wants to be known; may be empty.
    #[serde(borrow)]
    pub note: Cow<'r, str>,
    /// What was ordered.
    #[serde(borrow)]
    pub lines: Vec<Line<'r>>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line<'r> {
    /// The product's stock number.
    #[serde(borrow)]
    pub sku: Cow<'r, str>,
    /// The product's name.
    #[serde(borrow)]
    pub product: Cow<'r, str>,
    /// How many were ordered.
    pub quantity: u32,
    /// The price of one, in cents.
    pub unit_price_cents: u64,
}

/// A day, written `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// The year, 0 to 9999.
    pub year: u16,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
}

impl Date {
    /// Reads `YYYY-MM-DD`; nothing when the text is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
        let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *bytes else { return None };
        let year = number(&[y0, y1, y2, y3])?;
        let month = u8::try_from(number(&[m0, m1])?).ok()?;
        let day = u8::try_from(number(&[d0, d1])?).ok()?;
        ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(Self { year, month, day })
    }
}

/// The value of at most four decimal digits; nothing when one is no digit.
fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u16::from(digit - b'0'))
    })
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DateVisitor)
    }
}

/// Reads a [`Date`] from text without copying it.
struct DateVisitor;

impl Visitor<'_> for DateVisitor {
    type Value = Date;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a date as YYYY-MM-DD")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Date, E> {
        Date::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        let expected = Date { year: 2025, month: 12, day: 31 };
        assert_eq!(Date::parse("2025-12-31"), Some(expected));
        assert_eq!(serde_json::from_str::<Date>("\"2025-12-31\"").unwrap(), expected);
        assert_eq!(serde_json::from_str::<Date>("\"2025\\u002d12-31\"").unwrap(), expected);
    }

    #[test]
    fn other_text_is_no_date() {
        for text in [
            "",
            "2025-13-01",
            "2025-00-01",
            "2025-01-32",
            "2025/01/01",
            "+025-01-01",
            "20250101",
            "2025-1-1é",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
        let error = serde_json::from_str::<Date>("\"today\"").unwrap_err().to_string();
        assert!(error.contains("expected a date as YYYY-MM-DD"), "{error}");
    }
}
