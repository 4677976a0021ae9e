//! Tables for a terminal.

use comfy_table::{CellAlignment, Table, presets};

/// Lines of cells below each other, with the cells of some columns to the left, and of the others
/// to the right.
pub fn aligned(
    lines: impl IntoIterator<Item = Vec<String>>,
    is_left: impl Fn(usize) -> bool,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).add_rows(lines);
    for (number, column) in table.column_iter_mut().enumerate() {
        let left = is_left(number);
        column.set_padding((0, 2)).set_cell_alignment(match left {
            true => CellAlignment::Left,
            false => CellAlignment::Right,
        });
    }
    match table.is_empty() {
        true => String::new(),
        false => table.trim_fmt() + "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let line = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let lines = [line(["a", "time", "verdict"]), line(["longer", "1.5 µs", "faster"])];
        let expected = "a         time  verdict\nlonger  1.5 µs  faster\n";
        assert_eq!(aligned(lines, |column| column != 1), expected);
        assert_eq!(aligned([], |_| true), "");
    }
}
