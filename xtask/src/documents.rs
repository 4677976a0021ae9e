//! The project's documents: links lead somewhere, and commands are understood.
//!
//! A test of its own, since only this crate knows the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// What a document holds that can be wrong.
#[derive(Default)]
struct Document {
    /// The fragments that its headings may be reached by.
    anchors: BTreeSet<String>,
    links: Vec<String>,
    /// Each `cargo xtask` of its blocks of shell commands.
    commands: Vec<String>,
    /// Those of its text, which may leave out what the command needs.
    named: Vec<String>,
}

impl Document {
    fn read(text: &str) -> Self {
        let mut document = Self::default();
        let (mut heading, mut shell): (Option<String>, Option<String>) = (None, None);
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    document.add_anchor(&heading.take().unwrap_or_default());
                }
                Event::Start(Tag::Link { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language)))
                    if &*language == "sh" =>
                {
                    shell = Some(String::new());
                }
                Event::End(TagEnd::CodeBlock) => {
                    let block = shell.take().unwrap_or_default();
                    document.commands.extend(block.lines().filter_map(command));
                }
                Event::Text(text) => {
                    for open in [&mut heading, &mut shell].into_iter().flatten() {
                        open.push_str(&text);
                    }
                }
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&code);
                    }
                    // One with a placeholder is a description.
                    document.named.extend(command(&code).filter(|code| !code.contains('<')));
                }
                _ => {}
            }
        }
        document
    }

    /// As the pages that show Markdown do: a second heading of a name gets a number.
    fn add_anchor(&mut self, heading: &str) {
        let kept = heading.to_lowercase();
        let kept = kept
            .chars()
            .filter(|&sign| sign.is_alphanumeric() || sign == ' ' || sign == '-' || sign == '_');
        let name: String = kept.map(|sign| if sign == ' ' { '-' } else { sign }).collect();
        let numbered = (1..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        let free = names.find(|name| !self.anchors.contains(name));
        self.anchors.extend(free);
    }
}

/// A line of a shell, if it calls this program: without its comment, and what it is piped into.
fn command(line: &str) -> Option<String> {
    let line = line.trim().strip_prefix("- run: ").unwrap_or(line.trim());
    let command = line.split(" # ").next()?.split([';', '|', '>']).next()?.trim();
    command.starts_with("cargo xtask ").then(|| command.to_owned())
}

fn root() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.parent().expect("xtask is a folder of the checkout").to_path_buf()
}

/// Every document of the project, by its path.
fn documents() -> BTreeMap<PathBuf, Document> {
    let folders = [root(), root().join("docs")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    let documents: BTreeMap<PathBuf, Document> = files
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("md")))
        .map(|path| {
            let document = Document::read(&std::fs::read_to_string(&path).unwrap());
            (path, document)
        })
        .collect();
    assert!(documents.contains_key(&root().join("README.md")), "no document was found");
    documents
}

/// A path without its `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, part| {
        if part.as_os_str() == ".." {
            normal.pop();
        } else {
            normal.push(part);
        }
        normal
    })
}

/// What is wrong with a link, if anything.
fn fault(documents: &BTreeMap<PathBuf, Document>, from: &Path, link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = from.parent().unwrap_or(Path::new(""));
    let path = if file.is_empty() { from.to_path_buf() } else { normal(&folder.join(file)) };
    if !path.exists() {
        return Some(format!("{link}: there is no such file"));
    }
    let is_there = |found: &Document| anchor.is_empty() || found.anchors.contains(anchor);
    match documents.get(&path) {
        Some(found) if !is_there(found) => Some(format!("{link}: there is no such heading")),
        None if !anchor.is_empty() => Some(format!("{link}: this file has no headings")),
        _ => None,
    }
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let faults = documents.iter().flat_map(|(path, document)| {
        let faults = document.links.iter().filter_map(|link| fault(&documents, path, link));
        faults.map(|fault| format!("{}: {fault}", path.display()))
    });
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(documents.values().map(|document| document.links.len()).sum::<usize>() > 50);
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let readme = root().join("README.md");
    let text = "# A `b` c, d\n\n## A\n\n## A\n\n[x](#a-b-c-d) [y](docs/none.md) [z](#a-1)";
    let documents = BTreeMap::from([(readme.clone(), Document::read(text))]);
    assert_eq!(documents[&readme].links, ["#a-b-c-d", "docs/none.md", "#a-1"]);
    let fault = |link: &str| fault(&documents, &readme, link);
    assert_eq!(fault("#a-b-c-d"), None);
    assert_eq!(fault("#a-1"), None);
    assert_eq!(fault("Cargo.toml"), None);
    assert_eq!(fault("https://example.org/#any"), None);
    assert_eq!(fault("#a-2").unwrap(), "#a-2: there is no such heading");
    assert_eq!(fault("docs/none.md").unwrap(), "docs/none.md: there is no such file");
    assert_eq!(fault("Cargo.toml#a").unwrap(), "Cargo.toml#a: this file has no headings");
}

#[test]
fn every_command_is_understood() {
    let mut understood = 0;
    for (path, document) in documents() {
        let whole = document.commands.iter().map(|command| (command, false));
        for (command, is_named) in whole.chain(document.named.iter().map(|name| (name, true))) {
            let words = shlex::split(command).expect("quotes are closed");
            // `cargo xtask` is the name of the program.
            match crate::Arguments::try_parse_from(words.iter().skip(1)) {
                Err(error) if !(is_named && error.kind() == ErrorKind::MissingRequiredArgument) => {
                    panic!("{}: `{command}`: {error}", path.display())
                }
                _ => understood += 1,
            }
        }
    }
    assert!(understood > 50, "{understood} commands");
}

#[test]
fn commands_are_found_in_blocks_and_in_text() {
    let text = "Ask `cargo xtask report --run <name>` or `cargo xtask tidy`.\n\n```sh\n# first\n\
                cargo xtask bench --suite 'c*'   # all\ncargo xtask report --format csv > a.csv\n\
                cargo bench\n```\n\n```text\ncargo xtask none\n```\n";
    let document = Document::read(text);
    assert_eq!(document.named, ["cargo xtask tidy"]);
    let expected = ["cargo xtask bench --suite 'c*'", "cargo xtask report --format csv"];
    assert_eq!(document.commands, expected);
}
