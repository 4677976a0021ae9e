//! The report as one long table: a figure or an absence per line.

use std::fmt::Write as _;

use lumos_record::Case;

use super::render::csv as figures;
use super::schema::Report;
use super::table::Section;

/// The columns; those that a line has no use for are empty.
const HEADER: &str = "kind,suite,function,payload,runtime,lane,name,unit,value,low,high,n,p90,\
                      p95,p99,reference,note\n";

/// One line.
#[derive(Default)]
struct Line<'a> {
    kind: &'a str,
    case: Option<&'a Case>,
    function: &'a str,
    payload: &'a str,
    runtime: &'a str,
    name: &'a str,
    unit: &'a str,
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    n: Option<usize>,
    p90: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    reference: &'a str,
    note: &'a str,
}

impl<'a> Line<'a> {
    fn of(kind: &'a str, case: &'a Case) -> Self {
        Self { kind, case: Some(case), ..Self::default() }
    }

    fn write(&self, csv: &mut String) {
        // The sum of nothing is -0.
        let number =
            |value: Option<f64>| value.map(|value| (value + 0.0).to_string()).unwrap_or_default();
        let (suite, lane) = self.case.map_or((String::new(), String::new()), |case| {
            (case.suite.to_string(), case.suite.lane().to_string())
        });
        let fields = [
            self.kind.to_owned(),
            suite,
            self.case.map_or(self.function, |case| &case.function).to_owned(),
            self.case.map_or_else(|| self.payload.to_owned(), |case| case.input()),
            self.case.map_or(self.runtime, |case| &case.runtime).to_owned(),
            lane,
            self.name.to_owned(),
            self.unit.to_owned(),
            number(self.value),
            number(self.low),
            number(self.high),
            self.n.map(|n| n.to_string()).unwrap_or_default(),
            number(self.p90),
            number(self.p95),
            number(self.p99),
            self.reference.to_owned(),
            self.note.to_owned(),
        ];
        let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(csv, "{}", fields.join(","));
    }
}

/// Quotes a field that needs it, as RFC 4180 says.
fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The whole table.
pub fn render(report: &Report) -> String {
    let mut csv = HEADER.to_owned();
    estimates_and_ratios(report, &mut csv);
    artifacts(report, &mut csv);
    for table in report.sections.iter().flat_map(Section::tables) {
        for found in figures(table) {
            let line = Line {
                kind: found.list,
                case: found.case,
                function: found.function,
                payload: found.payload,
                runtime: found.runtime,
                name: &found.name,
                unit: found.unit,
                value: found.value,
                low: found.ends.map(|ends| ends[0]),
                high: found.ends.map(|ends| ends[1]),
                n: found.n,
                reference: &found.reference,
                note: &found.note,
                ..Line::default()
            };
            line.write(&mut csv);
        }
    }
    let absent = [("skip", &report.skips), ("failure", &report.failures)];
    for (kind, list) in absent {
        for absence in list {
            Line { note: &absence.reason, ..Line::of(kind, &absence.case) }.write(&mut csv);
        }
    }
    csv
}

fn estimates_and_ratios(report: &Report, csv: &mut String) {
    for entry in &report.estimates {
        let line = Line {
            name: "median",
            unit: &entry.unit,
            value: Some(entry.median),
            low: Some(entry.low),
            high: Some(entry.high),
            n: Some(entry.n),
            p90: entry.p90,
            p95: entry.p95,
            p99: entry.p99,
            ..Line::of("estimate", &entry.case)
        };
        line.write(csv);
    }
    for entry in &report.ratios {
        let line = Line {
            name: "ratio",
            value: Some(entry.ratio),
            low: Some(entry.low),
            high: Some(entry.high),
            reference: &entry.reference,
            note: entry.verdict.as_deref().unwrap_or("not ranked"),
            ..Line::of("ratio", &entry.case)
        };
        line.write(csv);
    }
}

/// The sizes of what was built, for every target. The column `payload` holds the variant.
fn artifacts(report: &Report, csv: &mut String) {
    for artifact in &report.artifacts {
        let variant = artifact.variant.map(|variant| variant.to_string()).unwrap_or_default();
        let mut size = |name: &str, bytes: u64| {
            Line {
                kind: "artifact",
                function: artifact.function.as_deref().unwrap_or_default(),
                payload: &variant,
                runtime: artifact.engine.as_deref().unwrap_or_default(),
                name,
                unit: "bytes",
                value: Some(bytes as f64),
                note: &artifact.target,
                ..Line::default()
            }
            .write(csv)
        };
        let name = match &artifact.image {
            None => artifact.kind.name().to_owned(),
            Some(image) => format!("image of {} on {}", image.holds, image.base),
        };
        size(&name, artifact.bytes);
        if let Some(image) = &artifact.image {
            size(&format!("{name}, compressed"), image.compressed_bytes);
        }
        if let Some(text_bytes) = artifact.text_bytes {
            size(&format!("{name}, code"), text_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_need_it() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a, b"), "\"a, b\"");
        assert_eq!(quoted("say \"no\"\n"), "\"say \"\"no\"\"\n\"");
    }
}
