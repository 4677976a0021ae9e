//! Writes digests into a workload's file.

use std::fs;
use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, Value, value};

use crate::Error;
use crate::digest::is_sha256_hex;
use crate::error::Problem;

/// The digests that a payload is found to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blessing {
    /// The payload's id.
    pub payload: String,
    /// The SHA-256 of the request.
    pub request_sha256: String,
    /// The SHA-256 of the response or, of a chain, of each step's.
    pub response_sha256: Vec<String>,
}

/// Writes digests into a workload's file, and leaves all else as it is: comments, order and
/// spacing. Payloads that are not blessed keep what they have.
///
/// # Errors
/// When the file cannot be read or written, is no TOML, or lacks a payload that is blessed;
/// or when a digest is none. Nothing is written then.
pub fn bless(file: &Path, blessings: &[Blessing]) -> Result<(), Error> {
    let text = fs::read_to_string(file).map_err(Error::io(file))?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        Problem { span: error.span(), message: error.message().to_owned() }.in_file(file, &text)
    })?;
    for blessing in blessings {
        apply(&mut document, blessing)
            .map_err(|message| Problem { span: None, message }.in_file(file, &text))?;
    }
    fs::write(file, document.to_string()).map_err(Error::io(file))
}

fn apply(document: &mut DocumentMut, blessing: &Blessing) -> Result<(), String> {
    let Blessing { payload: id, request_sha256, response_sha256 } = blessing;
    let payload = find(document, id).ok_or_else(|| format!("no payload `{id}` to bless"))?;
    let response = match response_sha256.as_slice() {
        [digest] => Value::from(digest),
        digests => Value::from_iter(digests),
    };
    for (field, value, digests) in [
        ("request_sha256", Value::from(request_sha256), std::slice::from_ref(request_sha256)),
        ("response_sha256", response, response_sha256.as_slice()),
    ] {
        if let Some(digest) = digests.iter().find(|digest| !is_sha256_hex(digest)) {
            return Err(format!("payload `{id}`: `{digest}` is no digest for `{field}`"));
        }
        set(payload, field, value);
    }
    Ok(())
}

fn find<'d>(document: &'d mut DocumentMut, id: &str) -> Option<&'d mut Table> {
    let payloads = document.get_mut("payload")?.as_array_of_tables_mut()?;
    payloads.iter_mut().find(|payload| payload.get("id").and_then(Item::as_str) == Some(id))
}

/// Sets a field. A comment behind the old value belongs to it, and is kept.
fn set(table: &mut Table, field: &str, mut new: Value) {
    match table.get_mut(field).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => {
            table.insert(field, value(new));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# A file.
function = \"demo\"   # its name

[[payload]]
id = \"a\"
request_sha256 = \"\" # not known
# Before the response.
response_sha256 = \"old\"

[[payload]]
# The second.
id = \"b\"
request = { kind = \"empty\" }
";

    fn blessing(payload: &str, digit: &str) -> Blessing {
        Blessing {
            payload: payload.to_owned(),
            request_sha256: digit.repeat(64),
            response_sha256: vec![digit.repeat(64)],
        }
    }

    fn blessed(text: &str, blessings: &[Blessing]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("demo.toml");
        fs::write(&file, text).unwrap();
        let outcome = bless(&file, blessings);
        let after = fs::read_to_string(&file).unwrap();
        match outcome {
            Ok(()) => Ok(after),
            Err(error) => {
                assert_eq!(after, text, "a refused blessing leaves the file alone");
                Err(error.to_string())
            }
        }
    }

    #[test]
    fn only_the_digests_change() {
        let ones = "1".repeat(64);
        let twos = "2".repeat(64);
        let expected = FILE
            .replace("\"\" # not", &format!("\"{ones}\" # not"))
            .replace("\"old\"", &format!("\"{ones}\""))
            + &format!("request_sha256 = \"{twos}\"\nresponse_sha256 = \"{twos}\"\n");
        assert_eq!(blessed(FILE, &[blessing("a", "1"), blessing("b", "2")]), Ok(expected));
        assert_eq!(blessed(FILE, &[]), Ok(FILE.to_owned()));
    }

    #[test]
    fn a_payload_that_is_missing_is_refused() {
        let message = blessed(FILE, &[blessing("a", "1"), blessing("c", "1")]).unwrap_err();
        assert!(message.ends_with("demo.toml: no payload `c` to bless"), "{message}");
    }

    #[test]
    fn a_digest_that_is_none_is_refused() {
        let message = blessed(FILE, &[blessing("a", "x")]).unwrap_err();
        assert!(message.contains("is no digest for `request_sha256`"), "{message}");
    }

    #[test]
    fn a_file_that_is_no_toml_is_refused() {
        let message = blessed("function = \n", &[]).unwrap_err();
        assert!(message.contains("demo.toml:1:12: "), "{message}");
    }
}
