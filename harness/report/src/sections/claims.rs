//! The paper's claims beside this run's figures.

use super::Source;
use crate::format;
use crate::schema::{Claim, ClaimFigure, Spread, Statistic};
use crate::table::{Block, Cell, Column, Names, Quantity, Row, Section, Table, View};

/// The section.
pub fn section(source: &Source<'_>) -> Section {
    let prose = |key, title, doc| Column::new(key, title, Quantity::Prose, doc);
    let columns = vec![
        prose("text", "claim", "what is said"),
        prose("figure", "theirs", "their figure"),
        Column::new("ratio", "ours", Quantity::Text, "this run's figure"),
        prose("of", "of", "what it is of"),
    ];
    let table = Table {
        // All of it is in the list of claims.
        list: None,
        doc: "the paper's claims beside this run's figures",
        names: Names::Words(&[]),
        columns,
        rows: source.report.claims.iter().flat_map(rows).collect(),
    };
    let text = "Claims of \"Lumos: Performance Characterization of WebAssembly as a Serverless \
                Runtime in the Edge-Cloud Continuum\" beside this run's figures. Native is native \
                code in the same lane, in the sandbox that the claim names. An extreme of many \
                cells is likely to be a lucky or unlucky one; its interval is that of the one cell.";
    let blocks = vec![Block::Text(text.to_owned()), Block::Table(table)];
    Section { id: "claims", title: "The paper's claims", blocks, brief: None }
}

/// A row for each of our figures; the first one has theirs.
fn rows(claim: &Claim) -> Vec<Row> {
    let note = claim.note.as_ref().map(|note| format!(" {note}")).unwrap_or_default();
    let text = View::new(&claim.text, "").above(format!("{}.{note}", claim.source));
    let theirs = [Cell::View(text), Cell::Text(claim.figure.clone())];
    let row = |theirs: [Cell; 2], ours: [Cell; 2]| {
        Row::named([""; 0], theirs.into_iter().chain(ours).collect())
    };
    let Some((first, others)) = claim.measured.split_first() else {
        let reason = claim.not_measured.clone().unwrap_or_default();
        return vec![row(theirs, [Cell::Text("not measured".to_owned()), Cell::Text(reason)])];
    };
    let again = || [Cell::Text(String::new()), Cell::Text(String::new())];
    let first = row(theirs, ours(first));
    std::iter::once(first).chain(others.iter().map(|figure| row(again(), ours(figure)))).collect()
}

fn ours(figure: &ClaimFigure) -> [Cell; 2] {
    let ends = format::ratio_interval(figure.low, figure.high);
    let spread = match figure.spread {
        Spread::Interval => format!("interval {ends}"),
        Spread::Range => format!("range {ends}"),
        Spread::Exact => "exact".into(),
    };
    let statistic = match figure.statistic {
        Statistic::Largest => "largest",
        Statistic::Smallest => "smallest",
        Statistic::GeometricMean => "geometric mean",
    };
    let cells = match figure.cells {
        1 => "1 cell".to_owned(),
        cells => format!("{cells} cells"),
    };
    let ratio = View::new(format::ratio(figure.ratio), "").above(spread);
    [Cell::View(ratio), Cell::Text(format!("{statistic} of {cells}: {}", figure.of))]
}
