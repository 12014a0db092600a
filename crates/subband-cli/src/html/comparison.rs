//! The page of `subband compare`.

use anyhow::Result;

use super::page::{Block, Cell, Page, Section, Table};
use crate::compare::{self, Row};
use crate::table;

/// Every coder over all of `tensors` tensors, then each row.
pub fn of_comparison(rows: &[Row], tensors: usize) -> Result<Page> {
    let totals = compare::totals(rows);
    let wrong = rows.iter().filter(|row| !row.verified).count();
    let values: usize = totals.first().map_or(0, |row| row.values);
    Ok(Page {
        title: "Coders on the same tensors".into(),
        facts: vec![
            ("tensors".into(), format!("{tensors}, {} values", table::count(values as u64))),
            ("verified".into(), format!("{} of {} rows came back right", rows.len() - wrong, rows.len())),
        ],
        sections: vec![
            Section {
                heading: "All tensors".into(),
                note: "MB are those of the tensors as given. On indices the time to make them is not counted. RMSE is that of the \
                       quantizer. A click on a head sorts."
                    .into(),
                blocks: vec![Block::Table(table_of(&totals, false)), Block::Chart(compare::plot(rows).to_svg()?)],
            },
            Section {
                heading: "Each tensor".into(),
                note: String::new(),
                blocks: vec![Block::Table(table_of(rows, true))],
            },
        ],
        provenance: Vec::new(),
    })
}

fn table_of(rows: &[Row], each: bool) -> Table {
    let mut head: Vec<String> = if each { vec!["tensor".into(), "shape".into()] } else { Vec::new() };
    let rest = [
        "codec",
        "effort",
        "input",
        "threads",
        "bytes",
        "ratio",
        "bits a value",
        "RMSE",
        "compress MB/s",
        "decompress MB/s",
        "peak MB",
        "verified",
    ];
    head.extend(rest.map(str::to_owned));
    let line = |row: &Row| {
        let mut cells =
            if each { vec![Cell::text(row.tensor.clone()), Cell::text(table::shape(&row.shape))] } else { Vec::new() };
        let figures = compare::figures(row, if each { &row.input } else { &row.kind });
        cells.extend(figures.map(|(text, number)| Cell { text, number }));
        cells
    };
    Table { head, rows: rows.iter().map(line).collect(), foot: None }
}
