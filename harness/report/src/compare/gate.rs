//! The gate of a pipeline: whether something became slower.

use std::str::FromStr;

use anyhow::{Result, bail};
use lumos_model::{Comparison, Verdict};

use super::Comparisons;

/// What closes the gate: that something became slower, by more than the minimal effect or a given
/// share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// The slowdown from which it does, as a share of 1; none means the minimal effect.
    slowdown: Option<f64>,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "slower" => Ok(Self { slowdown: None }),
            Some(("slower", slowdown)) => Ok(Self { slowdown: Some(percent(slowdown)? / 100.0) }),
            _ => Err("`slower` or `slower:PERCENT`, such as `slower:10`".into()),
        }
    }
}

/// Reads percent from 0 to 1000, with or without the sign.
///
/// # Errors
/// When the text is no such number.
pub fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim_end_matches('%').parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..=1000.0).contains(&number) {
        true => Ok(number),
        false => Err("not from 0 to 1000".into()),
    }
}

impl Gate {
    /// Why the gate is closed, if it is: that something became slower is known whatever else is
    /// not, that nothing did is only known of what was judged.
    ///
    /// # Errors
    /// When it cannot be judged whether something became slower.
    pub fn closed(self, found: &Comparisons) -> Result<Option<String>> {
        if !found.refused.is_empty() {
            bail!("the gate cannot judge: {}", found.refused.join("; "));
        }
        let least = 1.0 + self.slowdown.unwrap_or(found.minimal_effect);
        let slower = found
            .comparisons
            .iter()
            .filter(|entry| entry.judged == Verdict::Slower && entry.low > least);
        // Counts are exact: however small a difference is, it is one.
        let more = found.counts.iter().filter(|entry| entry.ratio > least);
        let count = slower.count() + more.count();
        if count > 0 {
            let percent = (least - 1.0) * 100.0;
            return Ok(Some(format!("slower by more than {percent:.1} %: {count}")));
        }
        let (fewest, rounds) = (Comparison::FEWEST_ROUNDS, found.rounds_for_a_verdict());
        let few_rounds = format!("it takes {fewest} rounds on both sides: `--rounds {rounds}`");
        let thin = found.comparisons.iter().filter(|entry| entry.rounds < fewest);
        let thin: Vec<&String> = thin.map(|entry| &entry.id).collect();
        for (ids, why) in [
            (thin, few_rounds.as_str()),
            (found.too_few.iter().collect(), "there are too few samples"),
            (found.missing.iter().collect(), "only the base has it"),
        ] {
            if let Some(first) = ids.first() {
                bail!(
                    "the gate cannot judge {first}{}: {why}. `--filter` chooses what is compared",
                    match ids.len() - 1 {
                        0 => String::new(),
                        others => format!(" and {others} more"),
                    }
                );
            }
        }
        Ok(None)
    }
}
