//! Counts the words of a text: bytes to words, and words into a map.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::Write;

use lumos_abi::{Error, Function};

/// How many words an answer names.
const NAMED: usize = 10;

/// The function. It takes a text and gives a line of JSON:
/// `{"lines":2,"words":3,"distinct":3,"bytes":13,"top":[{"word":"one","count":1},...]}`.
///
/// A word is a run of ASCII letters and digits and of characters beyond ASCII; capital ASCII
/// letters count as small ones.
#[derive(Debug)]
pub struct WordCount;

lumos_abi::export!(crate::WordCount);

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Line feeds, and one more where text follows the last.
    pub lines: u32,
    /// Words.
    pub words: u32,
    /// Different words.
    pub distinct: u32,
    /// The length of the text.
    pub bytes: u32,
    /// The most frequent words and how often they occur; of equal ones, the first by its letters.
    pub top: Vec<(String, u32)>,
}

impl Function for WordCount {
    type Input<'r> = &'r str;
    type Output<'r> = Counts;

    fn decode(request: &[u8]) -> Result<&str, Error> {
        str::from_utf8(request).map_err(|error| {
            Error(format!("the text is not UTF-8 from byte {} on", error.valid_up_to()))
        })
    }

    fn compute(text: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let mut counts: HashMap<String, u32, BuildHasherDefault<Fnv>> = HashMap::default();
        let mut words = 0;
        let mut small = String::new();
        for word in text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric()) {
            if word.is_empty() {
                continue;
            }
            words += 1;
            small.clear();
            small.push_str(word);
            small.make_ascii_lowercase();
            match counts.get_mut(small.as_str()) {
                Some(count) => *count += 1,
                None => drop(counts.insert(small.clone(), 1)),
            }
        }
        let distinct = counts.len() as u32;
        // What a map's order is must not show.
        let mut top: Vec<(String, u32)> = counts.into_iter().collect();
        top.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        top.truncate(NAMED);
        Ok(Counts {
            lines: text.lines().count() as u32,
            words,
            distinct,
            bytes: text.len() as u32,
            top,
        })
    }

    fn encode(counts: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        let Counts { lines, words, distinct, bytes, top } = counts;
        // A word holds no character that JSON would have escaped.
        let top: Vec<String> = top
            .iter()
            .map(|(word, count)| format!(r#"{{"word":"{word}","count":{count}}}"#))
            .collect();
        let top = top.join(",");
        writeln!(
            response,
            r#"{{"lines":{lines},"words":{words},"distinct":{distinct},"bytes":{bytes},"top":[{top}]}}"#
        )
        .map_err(Error::new)
    }
}

/// FNV-1a: the standard library's hasher draws a random key.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Counts {
        WordCount::compute(text).unwrap()
    }

    fn answer(request: &[u8]) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<WordCount>(request, &mut response).map_err(|error| error.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    #[test]
    fn words_are_counted_without_their_case() {
        let found = counts("The cat -- the CAT, a dog.\nÉté été");
        assert_eq!((found.lines, found.words, found.distinct), (2, 8, 6));
        let top: Vec<(&str, u32)> = found.top.iter().map(|(w, n)| (w.as_str(), *n)).collect();
        assert_eq!(top, [("cat", 2), ("the", 2), ("a", 1), ("dog", 1), ("Été", 1), ("été", 1)]);
    }

    #[test]
    fn the_most_frequent_ten_are_named() {
        let text: String = (0..30).map(|n| format!("w{n:02} ").repeat(30 - n)).collect();
        let found = counts(&text);
        assert_eq!(found.top.len(), NAMED);
        assert_eq!(
            (found.top[0].clone(), found.top[9].clone()),
            (("w00".into(), 30), ("w09".into(), 21))
        );
        assert_eq!(found.words, (1..=30).sum::<u32>());
    }

    #[test]
    fn the_response_is_a_line_of_json() {
        let line = answer(b"one two\n").unwrap();
        let top = "[{\"word\":\"one\",\"count\":1},{\"word\":\"two\",\"count\":1}]";
        let head = "{\"lines\":1,\"words\":2,\"distinct\":2,\"bytes\":8,\"top\":";
        assert_eq!(line, format!("{head}{top}}}\n"));
        assert!(answer(b"").unwrap().contains("\"words\":0"));
    }

    #[test]
    fn other_bytes_than_text_are_refused() {
        assert_eq!(answer(b"ab\xff").unwrap_err(), "the text is not UTF-8 from byte 2 on");
    }
}
