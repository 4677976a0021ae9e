//! Prose: words by Zipf's law, sentences, paragraphs.

use super::Random;

/// Words, the most frequent first.
const WORDS: &[&str] = &[
    "the",
    "of",
    "and",
    "a",
    "to",
    "in",
    "is",
    "that",
    "it",
    "was",
    "for",
    "on",
    "with",
    "as",
    "at",
    "by",
    "from",
    "this",
    "be",
    "or",
    "had",
    "not",
    "but",
    "are",
    "they",
    "one",
    "all",
    "were",
    "when",
    "there",
    "can",
    "more",
    "an",
    "which",
    "would",
    "their",
    "if",
    "what",
    "about",
    "out",
    "up",
    "time",
    "into",
    "has",
    "some",
    "could",
    "other",
    "than",
    "then",
    "now",
    "only",
    "its",
    "also",
    "after",
    "two",
    "how",
    "our",
    "work",
    "first",
    "well",
    "even",
    "new",
    "because",
    "any",
    "these",
    "day",
    "most",
    "water",
    "small",
    "large",
    "house",
    "world",
    "still",
    "between",
    "morning",
    "never",
    "last",
    "city",
    "under",
    "light",
    "along",
    "while",
    "might",
    "story",
    "river",
    "field",
    "early",
    "evening",
    "paper",
    "music",
    "garden",
    "winter",
    "market",
    "letter",
    "bridge",
    "village",
    "window",
    "measure",
    "engine",
    "weather",
    "machine",
    "journey",
    "harbour",
    "mountain",
    "library",
    "silence",
    "question",
    "distance",
    "orchard",
    "railway",
    "lantern",
    "compass",
    "gallery",
    "workshop",
    "carpenter",
    "blueprint",
    "lighthouse",
    "telescope",
    "clockwork",
    "waterfall",
    "thunderstorm",
    "constellation",
];

/// The weight of the most frequent word; the n-th has an n-th of it.
const FIRST_WEIGHT: u64 = 1_000_000;

/// Writes sentences.
#[derive(Debug)]
pub(crate) struct Prose {
    /// The sums of the weights up to and including each word.
    cumulative: Vec<u64>,
    total: u64,
}

impl Prose {
    pub(crate) fn new() -> Self {
        let mut total = 0;
        let cumulative = (1..=WORDS.len() as u64)
            .map(|rank| {
                total += FIRST_WEIGHT / rank;
                total
            })
            .collect();
        Self { cumulative, total }
    }

    fn word(&self, random: &mut Random) -> &'static str {
        let ticket = random.below(self.total);
        WORDS[self.cumulative.partition_point(|sum| *sum <= ticket)]
    }

    /// A sentence with its full stop, in ASCII.
    pub(crate) fn sentence(&self, random: &mut Random) -> String {
        let words = random.within(4, 18);
        let mut sentence = String::new();
        for position in 0..words {
            if position > 0 {
                sentence.push_str(if random.chance(8) { ", " } else { " " });
            }
            sentence.push_str(self.word(random));
        }
        sentence[..1].make_ascii_uppercase();
        sentence.push('.');
        sentence
    }

    /// Sentences in one line of exactly `length` bytes; the last one is cut.
    pub(crate) fn line(&self, random: &mut Random, length: usize) -> String {
        let mut line = String::new();
        while line.len() < length {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&self.sentence(random));
        }
        line.truncate(length);
        line
    }
}

/// Paragraphs of exactly `bytes` bytes; the last sentence is cut.
pub(crate) fn text(bytes: u32, seed: u64) -> Vec<u8> {
    let length = bytes as usize;
    let random = &mut Random::new(seed);
    let prose = Prose::new();
    let mut text = String::new();
    while text.len() < length {
        text.push_str(&prose.sentence(random));
        text.push_str(if random.chance(15) { "\n\n" } else { " " });
    }
    text.truncate(length);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_are_frequent() {
        let text = String::from_utf8(text(200_000, 1)).unwrap().to_lowercase();
        let count =
            |wanted: &str| text.split([' ', ',', '.', '\n']).filter(|w| *w == wanted).count();
        let (first, second, tenth) = (count(WORDS[0]), count(WORDS[1]), count(WORDS[9]));
        assert!((15..25).contains(&(first * 10 / second)), "{first} {second}");
        assert!((70..130).contains(&(first * 10 / tenth)), "{first} {tenth}");
    }

    #[test]
    fn no_word_is_there_twice() {
        let mut words = WORDS.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), WORDS.len());
    }

    #[test]
    fn a_line_has_its_length_and_no_break() {
        for length in [0, 1, 50, 777] {
            let line = Prose::new().line(&mut Random::new(1), length);
            assert_eq!(line.len(), length);
            assert!(line.is_ascii() && !line.contains('\n'));
        }
    }
}
