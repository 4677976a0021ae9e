//! Tells the language of each paragraph of a text: counts of letters and of groups of three.

use std::collections::BTreeMap;
use std::io::Write;

use lumos_abi::{Error, Function};
use whatlang::Lang;

/// The function. It takes a text and gives a line of JSON with the languages of its lines that are
/// not empty, by their codes of ISO 639-3: `{"lines":3,"languages":{"deu":1,"eng":2},"unknown":0}`.
#[derive(Debug)]
pub struct LanguageDetection;

lumos_abi::export!(crate::LanguageDetection);

/// How many lines there are in each language.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Languages {
    /// Lines that are not empty.
    pub lines: u32,
    /// Those of each language, by its code.
    pub languages: BTreeMap<&'static str, u32>,
    /// Those without a letter of a script that is known, and those that are undecided between two
    /// scripts or languages.
    pub unknown: u32,
}

impl Function for LanguageDetection {
    type Input<'r> = &'r str;
    type Output<'r> = Languages;

    fn decode(request: &[u8]) -> Result<&str, Error> {
        str::from_utf8(request).map_err(|error| {
            Error(format!("the text is not UTF-8 from byte {} on", error.valid_up_to()))
        })
    }

    fn compute(text: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let mut found = Languages::default();
        for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
            found.lines += 1;
            match language_of(line) {
                Some(language) => *found.languages.entry(language.code()).or_default() += 1,
                None => found.unknown += 1,
            }
        }
        Ok(found)
    }

    fn encode(found: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        let Languages { lines, languages, unknown } = found;
        let languages: Vec<String> =
            languages.iter().map(|(code, count)| format!(r#""{code}":{count}"#)).collect();
        let languages = languages.join(",");
        writeln!(response, r#"{{"lines":{lines},"languages":{{{languages}}},"unknown":{unknown}}}"#)
            .map_err(Error::new)
    }
}

/// The language of a line, if one alone is the likeliest.
///
/// Of scripts that have as many letters, and of languages that fit as well, the crate takes the
/// one that an unstable sort puts first. Which that is depends on the width of a pointer.
fn language_of(line: &str) -> Option<Lang> {
    let counters = whatlang::dev::raw_detect_script(line).counters;
    if let [(_, most), (_, second), ..] = counters.as_slice()
        && most == second
    {
        return None;
    }
    // The confidence grows with the distance to the next language.
    whatlang::detect(line).filter(|found| found.confidence() > 0.0).map(|found| found.lang())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<LanguageDetection>(request, &mut response).map_err(|e| e.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    #[test]
    fn languages_are_told_apart() {
        let text = "This is a sentence in the English language, as anybody can see.\n\
                    Das ist ein Satz in deutscher Sprache, wie man unschwer erkennen kann.\n\n\
                    Ceci est une phrase en français, que tout le monde reconnaît.\n\
                    Это предложение написано на русском языке.\n12345\n";
        let languages = "{\"deu\":1,\"eng\":1,\"fra\":1,\"rus\":1}";
        let expected = format!("{{\"lines\":5,\"languages\":{languages},\"unknown\":1}}\n");
        assert_eq!(answer(text.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_undecided_is_unknown() {
        // As many letters of two scripts; as many of three; a letter of many languages.
        for line in ["abc где", "где abc", "ab γδ де", "x"] {
            let expected = "{\"lines\":1,\"languages\":{},\"unknown\":1}\n";
            assert_eq!(answer(line.as_bytes()).as_deref(), Ok(expected), "{line}");
        }
        // One letter more decides between scripts.
        assert_eq!(LanguageDetection::compute("abc γδ").unwrap().unknown, 0);
        assert_eq!(LanguageDetection::compute("ab γδε").unwrap().languages["ell"], 1);
    }

    #[test]
    fn an_empty_text_has_no_lines() {
        let expected = "{\"lines\":0,\"languages\":{},\"unknown\":0}\n";
        assert_eq!(answer(b" \n\n").as_deref(), Ok(expected));
    }

    #[test]
    fn other_bytes_than_text_are_refused() {
        assert_eq!(answer(b"ab\xff").unwrap_err(), "the text is not UTF-8 from byte 2 on");
    }
}
