//! Charts as inline SVG.
//!
//! Horizontal positions are percentages and vertical ones pixels, so that a chart takes the
//! width that there is while its text keeps its size, on a phone as on a desk. Colours are
//! classes, which the page's style sheet gives for light and dark.

use std::fmt::Write as _;

/// How many colours the style sheet holds for series.
pub const COLOURS: usize = 10;

/// A point with its interval.
pub struct Dot {
    /// Which colour, counted from 0.
    pub series: usize,
    /// The figure; above 0.
    pub value: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end of its interval.
    pub high: f64,
    /// What a pointer that rests on it shows.
    pub title: String,
}

/// A line of dots on a common scale.
pub struct DotRow {
    /// What the line is of.
    pub label: String,
    /// Its dots.
    pub dots: Vec<Dot>,
}

/// A bar made of parts.
pub struct Bar {
    /// What the bar is of, with its total.
    pub label: String,
    /// Each part's colour and length, with what a pointer that rests on it shows.
    pub parts: Vec<(usize, f64, String)>,
}

/// What the vertical scale of curves, which is logarithmic, is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vertical {
    /// Ratios: the scale is cut close to the curves and holds 1, where a line is drawn.
    Ratio,
    /// Times in nanoseconds: the scale goes from one power of ten to another.
    Time,
}

/// A curve over a logarithmic horizontal scale.
pub struct Curve {
    /// Which colour, counted from 0.
    pub series: usize,
    /// Horizontal and vertical figures, both above 0.
    pub points: Vec<(f64, f64)>,
}

/// A logarithmic scale between two powers of ten.
struct LogScale {
    first_decade: i32,
    decades: i32,
}

impl LogScale {
    /// Covers every positive figure; one decade at least.
    fn covering(values: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let valid = values.filter(|value| value.is_finite() && *value > 0.0);
        let low = valid.clone().min_by(f64::total_cmp)?.log10().floor() as i32;
        let high = valid.max_by(f64::total_cmp)?.log10().ceil() as i32;
        Some(Self { first_decade: low, decades: (high - low).max(1) })
    }

    /// A share from 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let decades = value.log10() - f64::from(self.first_decade);
        (decades / f64::from(self.decades)).clamp(0.0, 1.0)
    }

    /// The powers of ten.
    fn ticks(&self) -> impl Iterator<Item = f64> + use<> {
        (self.first_decade..=self.first_decade + self.decades).map(|decade| 10f64.powi(decade))
    }
}

/// A share of the plot's width in percent, with a margin on both sides for what sticks out.
fn percent(share: f64) -> String {
    format!("{:.2}%", 2.0 + 96.0 * share)
}

/// Text for SVG and HTML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Collects the elements of a chart.
struct Svg {
    body: String,
    height: u32,
}

impl Svg {
    fn new(height: u32) -> Self {
        Self { body: String::new(), height }
    }

    /// Writing to a string cannot fail, so the result is dropped.
    fn push(&mut self, element: std::fmt::Arguments) {
        let _ = self.body.write_fmt(element);
    }

    fn text(&mut self, (x, y): (&str, u32), class: &str, text: &str) {
        let text = escape(text);
        self.push(format_args!("<text x='{x}' y='{y}' class='{class}'>{text}</text>"));
    }

    /// Vertical lines with figures below them.
    fn grid(&mut self, scale: &LogScale, bottom: u32, label: fn(f64) -> String) {
        for tick in scale.ticks() {
            let share = scale.at(tick);
            let x = percent(share);
            self.push(format_args!("<line x1='{x}' x2='{x}' y1='0' y2='{bottom}' class='grid'/>"));
            let anchor = match share {
                0.0 => "tick start",
                1.0 => "tick end",
                _ => "tick",
            };
            self.text((&x, bottom + 14), anchor, &label(tick));
        }
    }

    fn finish(self, label: &str) -> String {
        let (label, height, body) = (escape(label), self.height, self.body);
        format!(
            "<svg role='img' aria-label=\"{label}\" width='100%' height='{height}'>{body}</svg>"
        )
    }
}

/// A line per row, a dot with its interval per figure, on one logarithmic scale. Empty without
/// figures.
pub fn dots(label: &str, rows: &[DotRow], format: fn(f64) -> String) -> String {
    const ROW: u32 = 34;
    let ends = rows.iter().flat_map(|row| &row.dots).flat_map(|dot| [dot.low, dot.high]);
    let Some(scale) = LogScale::covering(ends) else { return String::new() };
    let bottom = ROW * rows.len() as u32 + 4;
    let mut svg = Svg::new(bottom + 20);
    svg.grid(&scale, bottom, format);
    for (index, row) in rows.iter().enumerate() {
        let top = ROW * index as u32;
        let y = top + 24;
        svg.text(("2%", top + 13), "label", &row.label);
        svg.push(format_args!("<line x1='2%' x2='98%' y1='{y}' y2='{y}' class='rule'/>"));
        for dot in &row.dots {
            let [low, at, high] =
                [dot.low, dot.value, dot.high].map(|value| percent(scale.at(value)));
            let (colour, title) = (dot.series % COLOURS, escape(&dot.title));
            svg.push(format_args!(
                "<g class='c{colour}'><title>{title}</title>\
                 <line x1='{low}' x2='{high}' y1='{y}' y2='{y}' class='whisker'/>\
                 <circle cx='{at}' cy='{y}' r='5'/></g>"
            ));
        }
    }
    svg.finish(label)
}

/// Bars made of parts, as shares of each bar. Empty without parts.
pub fn bars(label: &str, bars: &[Bar]) -> String {
    const ROW: u32 = 38;
    if bars.iter().all(|bar| bar.parts.is_empty()) {
        return String::new();
    }
    let mut svg = Svg::new(ROW * bars.len() as u32);
    for (index, bar) in bars.iter().enumerate() {
        let top = ROW * index as u32;
        svg.text(("0", top + 13), "label", &bar.label);
        let whole: f64 = bar.parts.iter().map(|(_, length, _)| length).sum();
        let mut from = 0.0;
        for (colour, length, title) in &bar.parts {
            let (x, width) = (100.0 * from / whole, 100.0 * length / whole);
            let (y, title) = (top + 18, escape(title));
            svg.push(format_args!(
                "<rect x='{x:.3}%' width='{width:.3}%' y='{y}' height='14' class='p{colour}'>\
                 <title>{title}</title></rect>"
            ));
            from += length;
        }
    }
    svg.finish(label)
}

impl Vertical {
    /// The ends of the scale for figures from `low` to `high`, and the figures to mark on it.
    fn scale(self, low: f64, high: f64) -> (f64, f64, Vec<f64>) {
        match self {
            Self::Ratio => {
                let (low, high) = (low.min(1.0) / 1.1, high.max(1.0) * 1.1);
                (low, high, nice_ratios(low, high))
            }
            Self::Time => {
                let first = low.log10().floor() as i32;
                let last = (high.log10().ceil() as i32).max(first + 1);
                let ticks = (first..=last).map(|decade| 10f64.powi(decade)).collect();
                (10f64.powi(first), 10f64.powi(last), ticks)
            }
        }
    }

    fn format(self, figure: f64) -> String {
        match self {
            Self::Ratio => super::format::ratio(figure),
            Self::Time => super::format::decade(figure),
        }
    }
}

/// Curves over two logarithmic scales, of which `format` labels the horizontal one. Empty without
/// points.
pub fn curves(
    label: &str,
    curves: &[Curve],
    format: fn(f64) -> String,
    vertical: Vertical,
) -> String {
    const HEIGHT: u32 = 260;
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let across = LogScale::covering(points().map(|point| point.0));
    let (Some(across), Some(low), Some(high)) = (
        across,
        points().map(|point| point.1).min_by(f64::total_cmp),
        points().map(|point| point.1).max_by(f64::total_cmp),
    ) else {
        return String::new();
    };
    let (low, high, ticks) = vertical.scale(low, high);
    let height = |value: f64| 1.0 - (value / low).ln() / (high / low).ln();
    let mut svg = Svg::new(HEIGHT + 20);
    svg.grid(&across, HEIGHT, format);
    let pixel = |tick: f64| (height(tick) * f64::from(HEIGHT)).round() as u32;
    for &tick in &ticks {
        let y = pixel(tick);
        let is_unity = vertical == Vertical::Ratio && tick == 1.0;
        let class = if is_unity { "unity" } else { "grid" };
        svg.push(format_args!("<line x1='2%' x2='98%' y1='{y}' y2='{y}' class='{class}'/>"));
    }
    svg.push(format_args!(
        "<svg x='2%' width='96%' y='0' height='{HEIGHT}' viewBox='0 0 1000 1000' \
         preserveAspectRatio='none'>"
    ));
    for curve in curves {
        let place = |&(x, y): &(f64, f64)| {
            format!("{:.1},{:.1}", 1000.0 * across.at(x), 1000.0 * height(y))
        };
        let path = curve.points.iter().map(place).collect::<Vec<_>>().join(" ");
        let colour = curve.series % COLOURS;
        svg.push(format_args!("<polyline points='{path}' class='curve c{colour}'/>"));
    }
    svg.push(format_args!("</svg>"));
    // Last, so that no curve hides a figure.
    for tick in ticks {
        let place = ("2.5%", pixel(tick).max(12) - 3);
        svg.text(place, "tick start", &vertical.format(tick));
    }
    svg.finish(label)
}

/// Ratios to mark on a scale: the first choice of those below that gives three marks or more.
fn nice_ratios(low: f64, high: f64) -> Vec<f64> {
    let inside = |value: &f64| (low..=high).contains(value);
    let per_decade = |steps: &[f64]| -> Vec<f64> {
        let decades = (-3..=6).map(|decade| 10f64.powi(decade));
        decades
            .flat_map(|power| steps.iter().map(move |step| step * power))
            .filter(inside)
            .collect()
    };
    for steps in [&[1.0][..], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]] {
        let marks = per_decade(steps);
        if marks.len() >= 3 {
            return marks;
        }
    }
    (1..=30).map(|tenth| f64::from(tenth) / 10.0).filter(inside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_draw_gives_nothing() {
        assert_eq!(dots("x", &[], crate::format::duration), "");
        assert_eq!(bars("x", &[Bar { label: "a".into(), parts: Vec::new() }]), "");
        assert_eq!(curves("x", &[], crate::format::duration, Vertical::Ratio), "");
    }

    #[test]
    fn a_vertical_scale_suits_what_it_is_of() {
        let (low, high, ticks) = Vertical::Time.scale(3e3, 4.5e5);
        assert_eq!((low, high), (1e3, 1e6));
        assert_eq!(ticks, [1e3, 1e4, 1e5, 1e6]);
        assert_eq!(Vertical::Time.scale(1e3, 1e3).1, 1e4, "one decade at least");
        let (low, high, ticks) = Vertical::Ratio.scale(2.0, 6.0);
        assert!(low < 1.0 && high > 6.0 && ticks.contains(&1.0));
        assert_eq!(Vertical::Ratio.format(2.0), "2.00×");
        assert_eq!(Vertical::Time.format(1e6), "1 ms");
    }

    #[test]
    fn a_scale_of_ratios_has_few_marks_and_holds_one() {
        assert_eq!(nice_ratios(0.9, 6.0), [1.0, 2.0, 5.0]);
        assert_eq!(nice_ratios(0.8, 3.5), [1.0, 1.5, 2.0, 3.0]);
        assert_eq!(nice_ratios(0.9, 1.2), [0.9, 1.0, 1.1, 1.2]);
        assert_eq!(nice_ratios(0.9, 500.0), [1.0, 10.0, 100.0]);
    }

    #[test]
    fn labels_are_escaped() {
        let parts = vec![(0, 1.0, "<i>".into())];
        let svg = bars("\"quoted\"", &[Bar { label: "<b> & co".into(), parts }]);
        assert!(svg.contains("&lt;b&gt; &amp; co") && svg.contains("&lt;i&gt;"), "{svg}");
        assert!(svg.contains("&quot;quoted&quot;"), "{svg}");
    }

    #[test]
    fn a_scale_covers_its_figures_by_whole_decades() {
        let scale = LogScale::covering([3.0, 450.0].into_iter()).unwrap();
        assert_eq!(scale.ticks().collect::<Vec<_>>(), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(scale.at(1.0), 0.0);
        assert_eq!(scale.at(1000.0), 1.0);
        assert!(LogScale::covering([f64::NAN, -1.0].into_iter()).is_none());
        assert_eq!(LogScale::covering([10.0].into_iter()).unwrap().decades, 1);
    }
}
