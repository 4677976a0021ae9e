//! Finds lines of a text by words that may be misspelt: strings, and maps from them.

use std::io::Write;

use lumos_abi::{Error, Function};
use simsearch::Index;

/// The most queries of a request.
pub const MOST_QUERIES: usize = 16;
/// The longest query in bytes.
pub const LONGEST_QUERY_BYTES: usize = 64;
/// The most words of a query.
pub const MOST_QUERY_WORDS: usize = 8;

/// The longest text in bytes: the index of one whose words all differ takes a hundred times as
/// much memory.
pub const LONGEST_TEXT_BYTES: usize = 4 << 20;
/// The most lines of a text: an index takes hundreds of bytes for each, even an empty one.
pub const MOST_LINES: usize = 100_000;
/// The most words of a line: where all of them are the query's, a search keeps half their square
/// of partial answers, which takes hundreds of megabytes.
pub const MOST_LINE_WORDS: usize = 1024;

/// What stands before the queries in a request.
const HEADER: &str = "queries=";

/// The function. It takes a line `queries=<words>,<words>,...` and then a text, whose lines are
/// the entries, and gives a line of JSON for each query: `{"query":"hose","lines":[3,17]}`, with
/// the numbers of up to ten lines, counted from 1, the best first.
#[derive(Debug)]
pub struct FuzzySearch;

lumos_abi::export!(crate::FuzzySearch);

/// A request that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<'r> {
    /// What is looked for.
    pub queries: Vec<&'r str>,
    /// Where.
    pub text: &'r str,
}

/// A query and the lines that were found, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'r> {
    /// The query.
    pub query: &'r str,
    /// The lines, the best first.
    pub lines: Vec<u32>,
}

impl Function for FuzzySearch {
    type Input<'r> = Job<'r>;
    type Output<'r> = Vec<Found<'r>>;

    fn decode(request: &[u8]) -> Result<Job<'_>, Error> {
        let text = str::from_utf8(request).map_err(|error| {
            Error(format!("the text is not UTF-8 from byte {} on", error.valid_up_to()))
        })?;
        let (queries, text) =
            text.strip_prefix(HEADER).and_then(|rest| rest.split_once('\n')).ok_or_else(|| {
                Error::new("the request does not begin with a line `queries=<words>`")
            })?;
        let queries: Vec<&str> = queries.split(',').collect();
        check_queries(&queries)?;
        check_text(text)?;
        Ok(Job { queries, text })
    }

    fn compute(Job { queries, text }: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        // Its maps are hashed with keys that are drawn, but their order does not show: hits are
        // sorted by their scores, and equal ones by the order in which the lines went in.
        let mut index: Index<u32> = Index::new();
        for (number, line) in (1..).zip(text.lines()) {
            index.insert(number, line);
        }
        let find = |query| {
            let lines = index.search(query).into_iter().map(|hit| hit.id).collect();
            Found { query, lines }
        };
        Ok(queries.into_iter().map(find).collect())
    }

    fn encode(found: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        for Found { query, lines } in found {
            let lines: Vec<String> = lines.iter().map(u32::to_string).collect();
            let lines = lines.join(",");
            writeln!(response, r#"{{"query":"{query}","lines":[{lines}]}}"#).map_err(Error::new)?;
        }
        Ok(())
    }
}

/// Checks that the queries are words which can be written into the response as they are.
fn check_queries(queries: &[&str]) -> Result<(), Error> {
    if queries.len() > MOST_QUERIES {
        return Err(Error(format!("{} queries are more than {MOST_QUERIES}", queries.len())));
    }
    let is_right = |query: &&&str| {
        (1..=LONGEST_QUERY_BYTES).contains(&query.len())
            && query.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
    };
    if let Some(query) = queries.iter().find(|query| !is_right(query)) {
        return Err(Error(format!(
            "the query {query:?} is none: it must have 1 to {LONGEST_QUERY_BYTES} ASCII letters, \
             digits and blanks"
        )));
    }
    let words = |query: &&&str| query.split_ascii_whitespace().count();
    match queries.iter().find(|query| words(query) > MOST_QUERY_WORDS) {
        Some(query) => {
            Err(Error(format!("the query {query:?} has more than {MOST_QUERY_WORDS} words")))
        }
        None => Ok(()),
    }
}

/// Checks that the memory holds an index of the text, and a search in it.
fn check_text(text: &str) -> Result<(), Error> {
    if text.len() > LONGEST_TEXT_BYTES {
        return Err(Error(format!(
            "a text of {} bytes is longer than {LONGEST_TEXT_BYTES}",
            text.len()
        )));
    }
    for (number, line) in (1..).zip(text.lines()) {
        if number > MOST_LINES {
            return Err(Error(format!("the text has more than {MOST_LINES} lines")));
        }
        // Most lines are too short for so many words: theirs need not be counted.
        if line.len() >= 2 * MOST_LINE_WORDS && line.split_whitespace().count() > MOST_LINE_WORDS {
            return Err(Error(format!("line {number} has more than {MOST_LINE_WORDS} words")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "The house by the river\nA boat upon the lake\nThe river and the sea\n";

    fn answer(request: &[u8]) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<FuzzySearch>(request, &mut response).map_err(|error| error.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    #[test]
    fn misspelt_words_are_found() {
        let answer = answer(format!("queries=hose,baot lake,zzzz\n{TEXT}").as_bytes()).unwrap();
        let lines: Vec<&str> = answer.lines().collect();
        // Others may follow: words that share less with the query.
        assert!(lines[0].starts_with("{\"query\":\"hose\",\"lines\":[1"), "{answer}");
        assert!(lines[1].starts_with("{\"query\":\"baot lake\",\"lines\":[2"), "{answer}");
        assert_eq!(lines[2], "{\"query\":\"zzzz\",\"lines\":[]}");
    }

    #[test]
    fn the_answer_is_the_same_every_time() {
        // The index keeps maps whose order is drawn anew for each.
        let lines: Vec<String> =
            (0..300).map(|n| format!("word{} other{} third{}", n % 7, n % 5, n % 3)).collect();
        let request = format!("queries=wrod,othr thrid,word3 other1\n{}", lines.join("\n"));
        let first = answer(request.as_bytes()).unwrap();
        for _ in 0..20 {
            assert_eq!(answer(request.as_bytes()).unwrap(), first);
        }
    }

    #[test]
    fn equal_lines_are_found_in_their_order() {
        let request = format!("queries=river\n{}", "the river\n".repeat(12));
        let expected = "{\"query\":\"river\",\"lines\":[1,2,3,4,5,6,7,8,9,10]}\n";
        assert_eq!(answer(request.as_bytes()).as_deref(), Ok(expected));
    }

    #[test]
    fn a_malformed_request_is_refused() {
        let missing = "the request does not begin with a line `queries=<words>`";
        for request in [&b""[..], b"queries=a", b"query=a\ntext"] {
            assert_eq!(answer(request).unwrap_err(), missing);
        }
        assert_eq!(
            answer(b"queries=a\n\xff").unwrap_err(),
            "the text is not UTF-8 from byte 10 on"
        );
        for query in ["", "a\"b", &"x".repeat(65)] {
            let message = answer(format!("queries={query}\ntext").as_bytes()).unwrap_err();
            assert!(message.contains("is none: it must have 1 to 64"), "{message}");
        }
        let many = format!("queries={}\ntext", ["a"; 17].join(","));
        assert_eq!(answer(many.as_bytes()).unwrap_err(), "17 queries are more than 16");
    }

    #[test]
    fn what_takes_too_much_memory_is_refused() {
        let refusal = |queries: &str, text: &str| {
            answer(format!("queries={queries}\n{text}").as_bytes()).unwrap_err()
        };
        let nine = ["a"; 9].join(" ");
        let message = format!("the query \"{nine}\" has more than 8 words");
        assert_eq!(refusal(&nine, "text"), message);
        let long = "x".repeat(LONGEST_TEXT_BYTES + 1);
        assert_eq!(refusal("a", &long), "a text of 4194305 bytes is longer than 4194304");
        let lines = "\n".repeat(MOST_LINES + 1);
        assert_eq!(refusal("a", &lines), "the text has more than 100000 lines");
        let words = format!("one line\n{}x", "x ".repeat(MOST_LINE_WORDS));
        assert_eq!(refusal("a", &words), "line 2 has more than 1024 words");
    }

    #[test]
    fn as_many_words_as_a_line_may_have_are_searched() {
        let request = format!("queries=x y\n{}", "x ".repeat(MOST_LINE_WORDS));
        let expected = "{\"query\":\"x y\",\"lines\":[1]}\n";
        assert_eq!(answer(request.as_bytes()).as_deref(), Ok(expected));
    }
}
