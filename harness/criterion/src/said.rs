//! What Criterion says.

use std::collections::BTreeMap;

/// What Criterion says of a benchmark beside an earlier run of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It is slower.
    Regressed,
    /// It is faster.
    Improved,
    /// Neither.
    Nothing,
}

/// What Criterion has said of each benchmark that it has compared with an earlier run.
pub fn verdicts<'i>(
    log: &str,
    ids: impl Iterator<Item = &'i String> + Clone,
) -> BTreeMap<&'i String, Said> {
    let mut said = BTreeMap::new();
    let mut current = None;
    for line in log.lines() {
        let word = line.split_whitespace().next().unwrap_or_default();
        // A long id is cut, and then tells nothing where another one begins like it.
        let is_meant = |id: &&String| match word.strip_suffix("...") {
            Some(cut) => !cut.is_empty() && id.starts_with(cut),
            None => **id == word,
        };
        let mut meant = ids.clone().filter(is_meant);
        if let Some(id) = meant.next() {
            current = meant.next().is_none().then_some(id);
        }
        let found = match line.trim() {
            "Performance has regressed." => Said::Regressed,
            "Performance has improved." => Said::Improved,
            "No change in performance detected." | "Change within noise threshold." => {
                Said::Nothing
            }
            _ => continue,
        };
        said.extend(current.map(|id| (id, found)));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criterions_verdicts_are_read_from_what_it_prints() {
        let ids = ["call/f/native/a", "call/f/native/b", "call/f/native/c"].map(str::to_owned);
        let log = "call/f/native/a\n                        time:   [1 2 3]\n                 \
                   change:\n  Performance has regressed.\nFound 2 outliers\ncall/f/native/b  time: \
                   [1 2 3]\n   No change in performance detected.\nBenchmarking \
                   call/f/native/c\ncall/f/native/c  time: [1 2 3]\n";
        let said = [(&ids[0], Said::Regressed), (&ids[1], Said::Nothing)];
        assert_eq!(verdicts(log, ids.iter()), BTreeMap::from(said));
    }
}
