//! What stands in a cell, for people.

use super::{Cell, NOTHING, Quantity, Ratio};
use crate::figure::{Figure, Interval};
use crate::format;

impl Quantity {
    /// Whether it is no quantity, but words.
    pub const fn is_words(self) -> bool {
        matches!(self, Self::Text | Self::Prose)
    }

    /// The unit, as `report.csv` has it.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Bytes => "bytes",
            Self::Text | Self::Prose | Self::Ratio | Self::Count | Self::Share => "",
        }
    }

    /// A figure as people read it.
    fn plain(self, value: f64) -> String {
        match self {
            Self::Text | Self::Prose | Self::Count => format::count(value.round().max(0.0) as u64),
            Self::Nanoseconds => format::duration(value),
            Self::Bytes => format::bytes(value),
            Self::Ratio => format::ratio(value),
            Self::Share => format!("{:.0} %", value * 100.0),
        }
    }

    /// The same with as many digits as its interval supports.
    fn known(self, value: f64, ends: [f64; 2]) -> String {
        match self {
            Self::Nanoseconds => format::known_duration(value, ends),
            Self::Bytes => format::known_bytes(value, ends),
            Self::Ratio => format::known_ratio(value, ends),
            Self::Text | Self::Prose | Self::Count | Self::Share => self.plain(value),
        }
    }

    fn range(self, [low, high]: [f64; 2]) -> String {
        match self {
            Self::Ratio => format::ends_of_ratio([low, high]),
            Self::Nanoseconds => format::interval(low, high, format::duration),
            Self::Bytes => format::interval(low, high, format::bytes),
            Self::Text | Self::Prose | Self::Count | Self::Share => {
                format!("{} – {}", self.plain(low), self.plain(high))
            }
        }
    }
}

impl Cell {
    /// Of a figure, or nothing for a reason that is no hole.
    pub fn figure_or(figure: Option<Figure>, nothing: &'static str) -> Self {
        figure.map_or(Self::Nothing(nothing), Self::Figure)
    }

    /// Of a figure, or the reason that there is none.
    pub fn interval_or(interval: Option<Interval>, reason: &str) -> Self {
        interval.map_or_else(|| Self::Absent(reason.to_owned()), Self::Interval)
    }

    /// What people see.
    pub fn text(&self, quantity: Quantity) -> String {
        match self {
            Self::Text(text) | Self::Worded(_, text) => text.clone(),
            Self::List(words) => words.join(", "),
            Self::Flag(is_so) => (if *is_so { "yes" } else { "no" }).to_owned(),
            Self::Number(value) => quantity.plain(*value),
            Self::Figure(Figure { median, low: Some(low), high: Some(high), .. }) => {
                quantity.known(*median, [*low, *high])
            }
            Self::Figure(Figure { median, .. }) => quantity.plain(*median),
            Self::Interval(Interval { point, low, high }) => quantity.known(*point, [*low, *high]),
            Self::Mean(mean) => {
                let range = quantity.range([mean.smallest, mean.largest]);
                format!("{} ({range})", quantity.plain(mean.mean))
            }
            Self::Named(figures) => {
                let named = figures.iter().map(|(name, figure)| {
                    let text = Self::Figure(*figure).text(quantity);
                    if name.is_empty() { text } else { format!("{text} ({name})") }
                });
                named.collect::<Vec<_>>().join(", ")
            }
            Self::Nothing(_) | Self::Absent(_) => NOTHING.to_owned(),
            Self::Noted(cell, _) => cell.text(quantity),
            Self::Ratio(ratio) => format::verdict_ratio(ratio),
            Self::View(view) => view.text.clone(),
        }
    }

    /// The same with its interval in brackets, if that shows a width, for where nothing can be
    /// pointed at.
    pub fn text_with_interval(&self, quantity: Quantity) -> String {
        let text = self.text(quantity);
        match self {
            Self::Figure(Figure { low: Some(low), high: Some(high), .. })
            | Self::Interval(Interval { low, high, .. }) => match quantity.range([*low, *high]) {
                range if range == text => text,
                range => format!("{text} ({range})"),
            },
            Self::Noted(cell, _) => cell.text_with_interval(quantity),
            _ => text,
        }
    }

    /// What a pointer that rests on it shows; empty for nothing.
    pub fn hint(&self, quantity: Quantity) -> String {
        match self {
            Self::Figure(Figure { low: Some(low), high: Some(high), n, .. }) => {
                format!("{}, n = {n}", quantity.range([*low, *high]))
            }
            Self::Interval(Interval { low, high, .. }) => quantity.range([*low, *high]),
            Self::Figure(figure) => format!("no interval: n = {}", figure.n),
            Self::Mean(mean) => match mean.cells {
                1 => "1 cell".to_owned(),
                cells => format!("{cells} cells"),
            },
            Self::Named(figures) => {
                let hints = figures.iter().map(|(_, figure)| Self::Figure(*figure).hint(quantity));
                hints.collect::<Vec<_>>().join(", ")
            }
            Self::Nothing(reason) => (*reason).to_owned(),
            Self::Absent(reason) => reason.clone(),
            Self::Noted(cell, _) => cell.hint(quantity),
            Self::Ratio(Ratio { low, high, verdict, .. }) => {
                let verdict = verdict.as_deref().unwrap_or("not ranked");
                format!("{}, {verdict}", format::ends_of_ratio([*low, *high]))
            }
            Self::View(view) => view.hint.clone(),
            Self::Text(_) | Self::List(_) | Self::Flag(_) | Self::Number(_) | Self::Worded(..) => {
                String::new()
            }
        }
    }

    /// Its footnote.
    pub fn note(&self) -> Option<&str> {
        match self {
            Self::Absent(note) | Self::Noted(_, note) => Some(note),
            Self::View(view) => view.note.as_deref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_as_many_digits_as_are_known() {
        let figure = Figure { median: 1234.5, low: Some(1200.0), high: Some(1300.0), n: 5 };
        let cell = Cell::Figure(figure);
        assert_eq!(cell.text(Quantity::Nanoseconds), "1.23 µs");
        assert_eq!(cell.hint(Quantity::Nanoseconds), "1.20–1.30 µs, n = 5");
        assert_eq!(cell.text_with_interval(Quantity::Nanoseconds), "1.23 µs (1.20–1.30 µs)");
        let wide = Cell::Figure(Figure { low: Some(700.0), high: Some(2000.0), ..figure });
        assert_eq!(wide.text(Quantity::Nanoseconds), "1.2 µs");
        let alone = Cell::Figure(Figure { low: None, high: None, ..figure });
        assert_eq!(alone.hint(Quantity::Nanoseconds), "no interval: n = 5");
        let noted = Cell::Noted(Box::new(cell), "beware".to_owned());
        assert_eq!(
            (noted.text(Quantity::Nanoseconds).as_str(), noted.note()),
            ("1.23 µs", Some("beware"))
        );
        assert_eq!(Cell::Absent("why".to_owned()).text(Quantity::Bytes), NOTHING);
    }

    #[test]
    fn figures_that_belong_together_share_a_cell() {
        let figure = |median| Figure { median, low: None, high: None, n: 1 };
        let cell = Cell::Named(vec![("a".to_owned(), figure(1.0)), (String::new(), figure(2.0))]);
        assert_eq!(cell.text(Quantity::Nanoseconds), "1.00 ns (a), 2.00 ns");
    }
}
