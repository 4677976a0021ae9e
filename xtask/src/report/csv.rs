//! The report as one long table: a figure or an absence per line.

use std::fmt::Write as _;

use lumos_record::Case;

use super::schema::{BreakEvenVerdict, Figure, Interval, Report};

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

    fn figure(self, name: &'a str, unit: &'a str, figure: &Figure) -> Self {
        Self {
            name,
            unit,
            value: Some(figure.median),
            low: figure.low,
            high: figure.high,
            n: Some(figure.n),
            ..self
        }
    }

    fn interval(self, name: &'a str, unit: &'a str, interval: &Interval) -> Self {
        let Interval { point, low, high } = *interval;
        Self { name, unit, value: Some(point), low: Some(low), high: Some(high), ..self }
    }

    fn write(&self, csv: &mut String) {
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
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
    for entry in &report.phases {
        let line = Line::of("phase", &entry.case);
        line.figure(entry.phase.name(), &entry.unit, &entry.figure).write(&mut csv);
    }
    for entry in &report.memory {
        let line = || Line::of("worker", &entry.case);
        if let Some(rss) = &entry.peak_rss_bytes {
            line().figure("peak_rss", "bytes", rss).write(&mut csv);
        }
        line().figure("cpu_user", "ns", &entry.cpu_user_ns).write(&mut csv);
        line().figure("cpu_system", "ns", &entry.cpu_system_ns).write(&mut csv);
    }
    artifacts(report, &mut csv);
    pulls(report, &mut csv);
    compilations(report, &mut csv);
    break_even(report, &mut csv);
    variants(report, &mut csv);
    breakdown(report, &mut csv);
    sweeps(report, &mut csv);
    chains(report, &mut csv);
    for entry in &report.counts {
        let value = Some(entry.instructions as f64);
        let line = Line {
            name: &entry.counter,
            unit: "instructions",
            value,
            ..Line::of("count", &entry.case)
        };
        line.write(&mut csv);
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

/// What compiling ahead of time took; sizes stand among the artifacts.
fn compilations(report: &Report, csv: &mut String) {
    for entry in &report.compilations {
        let variant = entry.variant.map(|variant| variant.to_string()).unwrap_or_default();
        let line = || Line {
            kind: "compilation",
            function: &entry.function,
            payload: &variant,
            runtime: &entry.engine,
            note: &entry.target,
            ..Line::default()
        };
        if let Some(time) = &entry.compile_ns {
            line().figure("compile", "ns", time).write(csv);
        }
        if let Some(per_byte) = entry.compile_ns_per_module_byte {
            let name = "compile per byte of module";
            Line { name, unit: "ns", value: Some(per_byte), ..line() }.write(csv);
        }
        if let Some(bytes) = entry.peak_rss_bytes {
            let (name, value) = ("peak_rss", Some(bytes as f64));
            Line { name, unit: "bytes", value, ..line() }.write(csv);
        }
    }
}

/// From how much work on it pays to compile; the name says what the interval does.
fn break_even(report: &Report, csv: &mut String) {
    for entry in &report.break_even {
        let units = |number: Option<u64>| number.map(|number| number as f64);
        let line = Line {
            kind: "break-even",
            function: &entry.function,
            payload: &entry.payload,
            runtime: &entry.runtime,
            name: entry.verdict.map_or("no verdict", BreakEvenVerdict::name),
            unit: entry.unit.name(),
            value: units(entry.units),
            low: units(entry.low),
            high: units(entry.high),
            reference: &entry.against,
            note: entry.reason.as_deref().unwrap_or_default(),
            ..Line::default()
        };
        line.write(csv);
    }
}

/// The ratios of variants; their medians stand among the estimates.
fn variants(report: &Report, csv: &mut String) {
    for entry in &report.variants {
        let ratios = [("ratio", &entry.to_default), ("ratio to native", &entry.to_native)];
        for (name, ratio) in ratios {
            let Some(ratio) = ratio else { continue };
            let line = Line {
                name,
                value: Some(ratio.ratio),
                low: Some(ratio.low),
                high: Some(ratio.high),
                reference: &ratio.reference,
                note: ratio.verdict.as_deref().unwrap_or("not ranked"),
                ..Line::of("variant", &entry.case)
            };
            line.write(csv);
        }
    }
    for mean in &report.variant_means {
        let variant = mean.variant.to_string();
        let line = Line {
            kind: "variant-mean",
            payload: &variant,
            runtime: mean.runtime.as_deref().unwrap_or_default(),
            name: mean.quantity.name(),
            value: Some(mean.mean),
            low: Some(mean.smallest),
            high: Some(mean.largest),
            n: Some(mean.cells),
            ..Line::default()
        };
        line.write(csv);
    }
}

/// The terms of first and of later invocations.
fn breakdown(report: &Report, csv: &mut String) {
    for entry in &report.breakdown {
        let mut write = |term: &str, figure: &Figure, note: &str| {
            let name = format!("{term} of {} invocation", entry.invocation.name());
            let line = Line { note, ..Line::of("breakdown", &entry.case) };
            line.figure(&name, "ns", figure).write(csv);
        };
        let agrees = if entry.reconciles { "agrees with the whole" } else { "does not agree" };
        write("whole", &entry.whole_ns, "");
        write("sum", &entry.sum_ns, agrees);
        let terms = [
            ("cold", entry.cold_ns.as_ref()),
            ("retrieval", entry.retrieval_ns.as_ref()),
            ("serialization", Some(&entry.serialization_ns)),
            ("compute", Some(&entry.compute_ns)),
            ("decode", Some(&entry.decode_ns)),
            ("encode", Some(&entry.encode_ns)),
            ("boundary", Some(&entry.boundary_ns)),
        ];
        for (term, figure) in terms {
            if let Some(figure) = figure {
                write(term, figure, "");
            }
        }
    }
}

/// The lines through sizes, and what they say beside native code; what each size takes stands
/// among the estimates.
fn sweeps(report: &Report, csv: &mut String) {
    for entry in report.serialization.iter().chain(&report.retrieval) {
        let case = entry.case();
        let line = || Line::of("sweep", &case);
        if let Some(fixed) = &entry.fixed_ns {
            line().interval("fixed", "ns", fixed).write(csv);
        }
        if let Some(per_kib) = &entry.per_kib_ns {
            line().interval("per KiB", "ns", per_kib).write(csv);
        }
        let Some(native) = &entry.to_native else { continue };
        let line = || Line { reference: &native.reference, ..line() };
        if let Some(ratio) = &native.per_kib_ratio {
            line().interval("ratio of costs per KiB", "", ratio).write(csv);
        }
        let ratio = Line {
            name: "geometric mean of ratios",
            value: Some(native.ratio),
            low: Some(native.smallest),
            high: Some(native.largest),
            n: Some(native.sizes),
            ..line()
        };
        ratio.write(csv);
    }
}

/// What a step more costs, and what chains cost beside native code; what each length takes stands
/// among the estimates.
fn chains(report: &Report, csv: &mut String) {
    for entry in &report.chain {
        let line = || Line::of("chain", &entry.case);
        if let Some(fixed) = &entry.fixed_ns {
            line().interval("fixed", "ns", fixed).write(csv);
        }
        if let Some(per_step) = &entry.per_step_ns {
            line().interval("per step", "ns", per_step).write(csv);
        }
        let Some(native) = &entry.to_native else { continue };
        let line = || Line { reference: &native.reference, ..line() };
        if let Some(ratio) = &native.per_step_ratio {
            line().interval("ratio of costs per step", "", ratio).write(csv);
        }
        let ratio = Line {
            name: "geometric mean of ratios",
            value: Some(native.ratio),
            low: Some(native.smallest),
            high: Some(native.largest),
            n: Some(native.lengths),
            ..line()
        };
        ratio.write(csv);
    }
}

/// The modelled pulls; what was measured beside them stands among the estimates.
fn pulls(report: &Report, csv: &mut String) {
    for image in &report.pull.images {
        let name = format!("image of {} on {}", image.holds, image.base);
        for (link, &modelled_ns) in report.pull.links.iter().zip(&image.modelled_ns) {
            let line = Line {
                kind: "pull",
                function: &image.function,
                runtime: image.engine.as_deref().unwrap_or_default(),
                name: &name,
                unit: "ns",
                value: Some(modelled_ns),
                note: &link.name,
                ..Line::default()
            };
            line.write(csv);
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
