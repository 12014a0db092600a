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
        cells.extend([
            Cell::text(row.codec.clone()),
            Cell::text(row.effort.clone()),
            Cell::text(if each { row.input.clone() } else { row.kind.clone() }),
            Cell::number(row.threads as f64, row.threads.to_string()),
            Cell::number(row.bytes as f64, table::count(row.bytes as u64)),
            Cell::number(row.ratio_f32, format!("{:.2}x", row.ratio_f32)),
            Cell::number(row.bits_per_value, format!("{:.3}", row.bits_per_value)),
            Cell::number(row.rmse, table::figure(row.rmse)),
            Cell::number(row.compress_mb_s, format!("{:.0}", row.compress_mb_s)),
            Cell::number(row.decompress_mb_s, format!("{:.0}", row.decompress_mb_s)),
            row.peak_bytes.map_or_else(
                || Cell::text("-"),
                |bytes| Cell::number(bytes as f64, format!("{:.1}", bytes as f64 / 1e6)),
            ),
            Cell::text(if row.verified { "yes" } else { "NO" }),
        ]);
        cells
    };
    Table { head, rows: rows.iter().map(line).collect(), foot: None }
}
