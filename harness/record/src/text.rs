//! Text that somebody else has written, such as a guest's complaint: what a reader is shown of it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serializer};
use serde_json::{Map, Value};

/// The most characters of such a text that are kept.
const MOST: usize = 1000;

/// How many of them tell that it was cut.
const TAIL: usize = 40;

/// A text in one line, without what a terminal or a page would take for an order, and cut where
/// it is longer than a thousand characters. Of what is shown so already, nothing changes.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut count = 0;
    let mut rest = text.trim().chars();
    while let Some(c) = rest.next() {
        count += match c {
            '\n' => push(&mut shown, "; "),
            '\t' => push(&mut shown, " "),
            '\r' if rest.as_str().starts_with('\n') => 0,
            c if is_order(c) => push(&mut shown, &c.escape_unicode().to_string()),
            c => push(&mut shown, c.encode_utf8(&mut [0; 4])),
        };
        if count > MOST {
            let kept: String = shown.chars().take(MOST - TAIL).collect();
            let left = count - (MOST - TAIL) + rest.count();
            return format!("{kept} … ({left} more characters)");
        }
    }
    shown
}

fn push(text: &mut String, more: &str) -> usize {
    text.push_str(more);
    more.chars().count()
}

/// Whether a character is none that is seen: it moves the cursor, or turns the direction of what
/// follows.
fn is_order(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a text as it is shown.
///
/// # Errors
/// Those of the serializer.
pub fn write<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(text))
}

/// Reads a text as it is shown, whoever wrote it.
///
/// # Errors
/// Those of the deserializer.
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(shown(&String::deserialize(deserializer)?))
}

/// Reads JSON that may come from somebody else. Texts in which a terminal would find an order are
/// given as they are shown.
///
/// # Errors
/// Those of the reader, with what they cite as it is shown.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    // Without a backslash or a byte beyond the letters, no such character can stand in it.
    if bytes.iter().all(|&byte| byte != b'\\' && byte < 0x7f) {
        return serde_json::from_slice(bytes);
    }
    serde_json::from_value(shown_value(serde_json::from_slice(bytes)?))
}

fn shown_value(value: Value) -> Value {
    let text = |text: String| if text.contains(is_order) { shown(&text) } else { text };
    match value {
        Value::String(said) => Value::String(text(said)),
        Value::Array(values) => values.into_iter().map(shown_value).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (text(name), shown_value(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_file_is_an_order() {
        let read = |json: &str| from_json::<Value>(json.as_bytes());
        let value = read("{\"a\\u001b\": [\"b\\u009b1m\u{7f}\", \" µ \", 3e-2, true]}").unwrap();
        let expected = r#"{"a\\u{1b}":["b\\u{9b}1m\\u{7f}"," µ ",0.03,true]}"#;
        assert_eq!(value.to_string(), expected);
        let plain = read(r#"{"plain": " text "}"#).unwrap();
        assert_eq!(plain["plain"], " text ");
        let error = from_json::<crate::Suite>(b"\"\\u001b[31m\"").unwrap_err().to_string();
        assert!(!error.contains(is_order) && error.contains("[31m"), "{error}");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_text() {
        let guest = "\u{1b}[2J\u{1b}]0;title\u{7}\0 red\r\nnext\ttab\u{202e}back\n";
        let expected = "\\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{0} red; next tab\\u{202e}back";
        assert_eq!(shown(guest), expected);
        assert_eq!(shown(expected), expected);
        assert_eq!(shown("größer als 3 µs"), "größer als 3 µs");
    }

    #[test]
    fn a_long_text_is_cut_once() {
        let all = "ä".repeat(MOST);
        assert_eq!(shown(&all), all);
        let cut = shown(&"\u{1b}".repeat(5_000_000));
        assert!(cut.ends_with("more characters)") && cut.chars().count() <= MOST, "{cut}");
        assert_eq!(shown(&cut), cut);
    }
}
