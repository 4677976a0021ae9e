//! Comparisons for a terminal and for a pull request: what changed first, what did not in short.

use std::fmt::Write as _;

use lumos_model::{Comparison, Verdict};

use super::{Compared, Comparisons};
use crate::format;
use crate::terminal::aligned;

/// The verdicts in the order of a reader's interest.
const ORDER: [Verdict; 4] =
    [Verdict::Slower, Verdict::Faster, Verdict::Inconclusive, Verdict::Equivalent];

const TITLES: [&str; 6] = ["benchmark", "before", "after", "ratio", "interval", "verdict"];

/// The most inconclusive benchmarks that are listed by name.
const MOST_INCONCLUSIVE: usize = 20;

/// The lines of a table.
struct Lines {
    rows: Vec<[String; TITLES.len()]>,
    /// What the table leaves out.
    rest: Vec<String>,
}

/// What stands in the table: all that changed, and some of what may have.
fn lines(found: &Comparisons) -> Lines {
    let mut lines = of_times(found);
    let counts = count_rows(found);
    let unchanged = found.counts.len() - counts.len();
    lines.rows.extend(counts);
    if unchanged > 0 {
        lines.rest.push(format!("{unchanged} with the same number of instructions"));
    }
    lines
}

fn of_times(found: &Comparisons) -> Lines {
    let mut lines = Lines { rows: Vec::new(), rest: Vec::new() };
    if !found.refused.is_empty() {
        let shown = found.comparisons.iter().take(MOST_INCONCLUSIVE);
        lines.rows = shown.map(|entry| row(entry, "-".to_owned())).collect();
        let left = found.comparisons.len() - lines.rows.len();
        if left > 0 {
            lines.rest.push(format!("{left} more without a verdict"));
        }
        return lines;
    }
    for verdict in ORDER {
        let mut entries: Vec<&Compared> =
            found.comparisons.iter().filter(|entry| entry.judged == verdict).collect();
        let count = entries.len();
        let most = match verdict {
            Verdict::Slower | Verdict::Faster => count,
            Verdict::Inconclusive => MOST_INCONCLUSIVE,
            Verdict::Equivalent => 0,
        };
        // The farthest from 1 first.
        entries.sort_by(|a, b| b.ratio.ln().abs().total_cmp(&a.ratio.ln().abs()));
        for entry in entries.iter().take(most) {
            lines.rows.push(row(entry, words(entry)));
        }
        if count > most {
            let more = if most > 0 { "more " } else { "" };
            lines.rest.push(format!("{} {more}{}", count - most, verdict.name()));
        }
    }
    lines
}

/// What was counted and has changed, whatever its verdict: no difference is noise.
fn count_rows(found: &Comparisons) -> Vec<[String; TITLES.len()]> {
    let changed =
        found.counts.iter().filter(|entry| entry.base_instructions != entry.new_instructions);
    changed
        .map(|entry| {
            [
                entry.id.clone(),
                format::count(entry.base_instructions),
                format::count(entry.new_instructions),
                format::ratio(entry.ratio),
                "exact".to_owned(),
                entry.verdict.unwrap_or("-").to_owned(),
            ]
        })
        .collect()
}

fn row(entry: &Compared, verdict: String) -> [String; TITLES.len()] {
    [
        entry.id.clone(),
        format::duration(entry.base_ns),
        format::duration(entry.new_ns),
        format::ratio(entry.ratio),
        format::ratio_interval(entry.low, entry.high),
        verdict,
    ]
}

/// The verdict, and what would settle it.
fn words(entry: &Compared) -> String {
    let verdict = entry.judged.name();
    match (entry.judged, entry.more_rounds) {
        (Verdict::Inconclusive, Some(1)) => format!("{verdict}: 1 more round"),
        (Verdict::Inconclusive, Some(rounds)) => format!("{verdict}: {rounds} more rounds"),
        (Verdict::Inconclusive, None) => format!("{verdict}: more rounds would hardly help"),
        _ => verdict.to_owned(),
    }
}

/// How many there are of each verdict, such as `2 slower, 1 faster`.
fn counts(found: &Comparisons) -> String {
    let count = |verdict| found.comparisons.iter().filter(|entry| entry.judged == verdict).count();
    let counts = ORDER.map(|verdict| format!("{} {}", count(verdict), verdict.name()));
    counts.join(", ")
}

/// What stands below the table.
fn notes(found: &Comparisons) -> Vec<String> {
    let mut notes = Vec::new();
    for mean in &found.means {
        notes.push(format!(
            "{}: geometric mean {} of {} ({})",
            mean.suite,
            format::ratio(mean.ratio),
            mean.count,
            format::ratio_interval(mean.smallest, mean.largest)
        ));
    }
    let list = |what: &str, ids: &[String]| {
        let shown = ids.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if ids.len() > 5 { ", ..." } else { "" };
        (!ids.is_empty()).then(|| format!("only in the {what}: {} ({shown}{more})", ids.len()))
    };
    notes.extend(list("base", &found.missing));
    notes.extend(list("new", &found.added));
    if found.refused.is_empty() {
        notes.push(format!(
            "{}; what matters is a difference of {:.1} % or more",
            counts(found),
            found.minimal_effect * 100.0
        ));
        let fewest = Comparison::FEWEST_ROUNDS;
        if found.comparisons.iter().any(|entry| entry.rounds < fewest) {
            notes.push(format!(
                "fewer than {fewest} rounds carry no verdict, since nothing tells what the node \
                 does by itself: measure with `--rounds {}`",
                found.rounds_for_a_verdict()
            ));
        }
    }
    notes
}

/// The heading: what is compared.
fn heading(found: &Comparisons) -> String {
    let side = |side: &super::Side| {
        let rounds = match side.rounds / side.runs_a_round {
            1 => "1 round".to_owned(),
            count => format!("{count} rounds"),
        };
        let commit = side.provenance.as_ref().map(|known| {
            let commit = match known.commit.as_str() {
                "" => "unknown".to_owned(),
                commit => commit.chars().take(10).collect(),
            };
            let dirty = if known.dirty { " with changes" } else { "" };
            format!(", commit {commit}{dirty}")
        });
        format!("{} ({rounds}{})", side.title(), commit.unwrap_or_default())
    };
    format!("{} against {}", side(&found.new), side(&found.base))
}

/// Comparisons for a terminal.
pub fn table(found: &Comparisons) -> String {
    let Lines { rows, rest } = lines(found);
    let mut text = heading(found) + "\n\n";
    let header = (!rows.is_empty()).then(|| TITLES.map(str::to_owned));
    let shown = header.into_iter().chain(rows).map(Vec::from);
    // The names, and the verdicts.
    text += &aligned(shown, |column| column == 0 || column == TITLES.len() - 1);
    for line in &rest {
        let _ = writeln!(text, "{line}");
    }
    text.push('\n');
    if !found.refused.is_empty() {
        text.push_str("No verdict, since more than the code differs:\n");
        for difference in &found.refused {
            let _ = writeln!(text, "  {difference}");
        }
    }
    for note in notes(found) {
        let _ = writeln!(text, "{note}");
    }
    for warning in &found.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// Comparisons for a pull request.
pub fn markdown(found: &Comparisons) -> String {
    let Lines { rows, rest } = lines(found);
    let escape = |text: &str| text.replace('|', "\\|");
    let mut text = format!("### {}\n\n", heading(found));
    if !rows.is_empty() {
        let _ = writeln!(text, "| {} |", TITLES.join(" | "));
        text.push_str("|---|--:|--:|--:|--:|---|\n");
        for row in &rows {
            let [id, cells @ ..] = row;
            let _ = writeln!(text, "| `{}` | {} |", escape(id), cells.join(" | "));
        }
        text.push('\n');
    }
    for line in &rest {
        let _ = writeln!(text, "- {line}");
    }
    if !found.refused.is_empty() {
        let _ = writeln!(
            text,
            "- **No verdict**, since more than the code differs: {}",
            found.refused.join("; ")
        );
    }
    for note in notes(found) {
        let _ = writeln!(text, "- {note}");
    }
    for warning in &found.warnings {
        let _ = writeln!(text, "- Warning: {warning}");
    }
    text
}
