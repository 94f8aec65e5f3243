//! Tables for people: columns without lines, numbers to the right.

use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Display;

/// An empty table. Columns whose title begins with `>` are aligned to the right.
pub(crate) fn table(titles: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(titles.iter().map(|t| t.trim_start_matches('>')));
    for (column, title) in table.column_iter_mut().zip(titles) {
        column.set_padding((0, 2));
        if title.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Adds a row.
pub(crate) fn row(table: &mut Table, cells: &[&dyn Display]) {
    table.add_row(cells.iter().map(|c| c.to_string()));
}

/// The table's text with one line break at its end and no blanks at the ends of lines.
pub(crate) fn text(table: &Table) -> String {
    table.trim_fmt() + "\n"
}
