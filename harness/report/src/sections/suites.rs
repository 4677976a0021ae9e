//! The tables of the suites: first their ratios at a glance, then each with all of its figures.

use lumos_record::suite::Shown;

use super::Source;
use crate::charts::{self, Dot, DotRow};
use crate::format;
use crate::grid::{Cell as Found, Comparison, Grid, Row as Line, grids};
use crate::page;
use crate::schema::CaseEstimate;
use crate::table::{
    Block, Cell, Chart, Column, Marks, NOTHING, Names, Quantity, Row, Section, Table, Tint, View,
};

/// The ratios of all suites, coloured by how far from 1 they are.
pub fn summary(source: &Source<'_>) -> Section {
    let grids = grids(source.report);
    let compared: Vec<&Grid<'_>> = grids.iter().filter(|grid| has_ratios(grid)).collect();
    let mut blocks = vec![match compared.is_empty() {
        true => Block::Text(
            "Nothing to compare: no suite of this run has several runtimes and a reference."
                .to_owned(),
        ),
        false => Block::OfPage(
            "Blue is faster than native, orange slower, the stronger the more; without colour, \
             there is no clear difference. Columns with times are the reference."
                .to_owned(),
        ),
    }];
    for grid in compared {
        blocks.extend([Block::Heading(grid.suite.to_string()), Block::Table(heat(grid))]);
    }
    Section { id: "summary", title: "Summary: ratios to native", blocks, brief: None }
}

/// Whether a suite has anything to compare.
fn has_ratios(grid: &Grid<'_>) -> bool {
    grid.runtimes.len() > 1 && grid.suite.spec().shown == Shown::WithRatios
}

fn heat(grid: &Grid<'_>) -> Table {
    let column = |runtime: &&str| {
        Column::new((*runtime).to_owned(), (*runtime).to_owned(), Quantity::Ratio, "")
    };
    let row = |&line: &Line<'_>| {
        let cells = grid.runtimes.iter().map(|runtime| match grid.cell(line, runtime) {
            Found::Absent(reason) => Cell::Absent(reason.clone()),
            Found::Measured(estimate, comparison) => heat_cell(estimate, comparison),
        });
        Row::named([line.function.to_owned(), line.input()], cells.collect())
    };
    Table {
        list: None,
        doc: "",
        names: Names::Words(&["function", "payload"]),
        columns: grid.runtimes.iter().map(column).collect(),
        rows: grid.rows.iter().map(row).collect(),
    }
}

fn heat_cell(estimate: &CaseEstimate, comparison: &Comparison<'_>) -> Cell {
    let time = format::estimate(estimate);
    Cell::View(match comparison {
        Comparison::Reference => View::new(time, "the reference"),
        Comparison::None(reason) => View { note: Some(reason.clone()), ..View::new(time, reason) },
        Comparison::Ratio(ratio) => {
            let ends = format::ends_of_ratio([ratio.low, ratio.high]);
            let verdict = ratio.verdict.as_deref();
            let hint = format!("{time}, {ends}, {}", verdict.unwrap_or("not ranked"));
            let tint = Tint::of(ratio.ratio, verdict);
            View { tint, ..View::new(format::case_ratio(ratio), hint) }
        }
    })
}

/// A section for each suite.
pub fn sections(source: &Source<'_>) -> Vec<Section> {
    grids(source.report).iter().map(|grid| section(grid, source)).collect()
}

fn section(grid: &Grid<'_>, source: &Source<'_>) -> Section {
    let times = grid.suite.spec().times;
    let mut letters = times.chars();
    let capital: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let text = format!("{capital}{} ({} lane).", letters.as_str(), grid.suite.lane());
    let mut blocks = vec![Block::Text(text)];
    let svg = chart(grid, source);
    if !svg.is_empty() {
        blocks.push(Block::Chart(Chart {
            title: String::new(),
            legend: source.palette.legend(grid.runtimes.iter().copied()),
            marks: Marks::Lines,
            svg,
            caption: "Median time with its interval, on a logarithmic scale.".to_owned(),
        }));
    }
    let groups: Vec<&[Line<'_>]> =
        grid.rows.chunk_by(|one, next| one.function == next.function).collect();
    let open = groups.len() == 1;
    blocks.extend(groups.iter().map(|lines| Block::Folded {
        summary: lines[0].function.to_owned(),
        open,
        blocks: vec![Block::Table(figures(grid, lines, source))],
    }));
    Section { id: grid.suite.name(), title: grid.suite.name(), blocks, brief: None }
}

/// Every figure of a function.
fn figures(grid: &Grid<'_>, lines: &[Line<'_>], source: &Source<'_>) -> Table {
    let column = |title: &'static str, quantity| Column::new(title, title, quantity, "");
    let columns = vec![
        column("median", Quantity::Nanoseconds),
        column("interval", Quantity::Ratio),
        column("n", Quantity::Count),
        column("p95", Quantity::Nanoseconds),
        column("ratio", Quantity::Ratio),
        column("ratio's interval", Quantity::Ratio),
        column("verdict", Quantity::Text),
    ];
    let rows = lines.iter().flat_map(|&line| {
        grid.runtimes.iter().map(move |runtime| {
            let cells = match grid.cell(line, runtime) {
                Found::Absent(reason) => {
                    let nothing = || Cell::View(View::new(NOTHING, reason));
                    let rest = std::iter::repeat_with(nothing).take(6);
                    std::iter::once(Cell::Absent(reason.clone())).chain(rest).collect()
                }
                Found::Measured(estimate, comparison) => measured(estimate, comparison),
            };
            let names = [line.function.to_owned(), line.input(), (*runtime).to_owned()];
            Row { colour: Some(source.palette.of(runtime)), ..Row::named(names, cells) }
        })
    });
    Table {
        list: None,
        doc: "",
        names: Names::Words(&["function", "payload", "runtime"]),
        columns,
        rows: rows.collect(),
    }
}

fn measured(estimate: &CaseEstimate, comparison: &Comparison<'_>) -> Vec<Cell> {
    let view = |text: String| Cell::View(View::new(text, ""));
    let nothing = || view(NOTHING.to_owned());
    let p95 = match estimate.p95 {
        Some(p95) => Cell::Number(p95),
        None if estimate.raw => {
            Cell::Absent("no percentile: it needs 20 samples or more".to_owned())
        }
        None => {
            Cell::Absent("no percentile: each sample is the mean of several iterations".to_owned())
        }
    };
    let [ratio, ends, verdict] = match comparison {
        Comparison::Reference => [view("reference".to_owned()), nothing(), nothing()],
        Comparison::None(reason) => [Cell::Absent(reason.clone()), nothing(), nothing()],
        Comparison::Ratio(ratio) => [
            view(format::case_ratio(ratio)),
            view(format::ends_of_ratio([ratio.low, ratio.high])),
            view(ratio.verdict.clone().unwrap_or_else(|| "not ranked".into())),
        ],
    };
    vec![
        view(format::estimate(estimate)),
        view(format::interval(estimate.low, estimate.high, format::duration)),
        Cell::Number(estimate.n as f64),
        p95,
        ratio,
        ends,
        verdict,
    ]
}

fn chart(grid: &Grid<'_>, source: &Source<'_>) -> String {
    let row = |&line: &Line<'_>| {
        let dot = |&runtime: &&str| match grid.cell(line, runtime) {
            Found::Absent(_) => None,
            Found::Measured(estimate, _) => Some(Dot {
                series: source.palette.of(runtime),
                value: estimate.median,
                low: estimate.low,
                high: estimate.high,
                title: format!("{runtime}: {}", format::estimate(estimate)),
            }),
        };
        let dots: Vec<Dot> = grid.runtimes.iter().filter_map(dot).collect();
        let absent = if dots.is_empty() { ": no figure" } else { "" };
        DotRow { label: format!("{}{absent}", page::label(line.function, &line.input())), dots }
    };
    let rows: Vec<DotRow> = grid.rows.iter().map(row).collect();
    charts::dots(&format!("{} by function and runtime", grid.suite), &rows, format::decade)
}
