//! The page of `subband cost`.

use anyhow::Result;
use subband::TapWork;

use super::page::{Block, Cell, Page, Section, Table};
use crate::cost::{self, Cost, Estimate, Run, bound, bytes, joules, seconds};
use crate::plot::Bars;
use crate::table;

/// What `cost` says. The caller adds what made the page.
pub fn of_cost(cost: &Cost) -> Result<Page> {
    let mut facts = vec![
        ("MACs".to_owned(), format!("{} an image", table::count(cost.macs))),
        ("weights".to_owned(), table::count(cost.weights)),
    ];
    facts.extend(cost::memory_facts(cost).into_iter().map(|(name, value)| (name.to_owned(), value)));
    let mut sections = vec![Section {
        heading: "Accelerators".into(),
        note: "Time is the longer of multiplications and traffic, layer by layer. A click on a head sorts.".into(),
        blocks: vec![Block::Table(accelerators(cost)), Block::Chart(energies(cost).to_svg()?)],
    }];
    if !cost.taps.is_empty() {
        sections.push(Section {
            heading: "Taps".into(),
            note: "Additions and multiplications (x) for each value of a map; buffers in bytes. Bytes are means of written packets."
                .into(),
            blocks: vec![Block::Table(taps(cost))],
        });
    }
    sections.push(Section {
        heading: "Layers".into(),
        note: format!(
            "Traffic of maps at {} bits a value, each layer's buffer being large enough.",
            8.0 * cost.memory.arithmetic.bytes()
        ),
        blocks: vec![Block::Chart(traffic(cost).to_svg()?), Block::Table(layers(cost))],
    });
    for estimate in &cost.accelerators {
        let Some(accelerator) = &estimate.accelerator else { continue };
        sections.push(Section {
            heading: format!("Layer by layer on {}", accelerator.name),
            note: accelerator.source.clone(),
            blocks: vec![Block::Table(roofline(estimate))],
        });
    }
    sections.push(Section {
        heading: "Assumptions".into(),
        note: String::new(),
        blocks: cost::assumptions(cost).into_iter().map(Block::Text).collect(),
    });
    Ok(Page { title: format!("What {} costs", cost.network), facts, sections, provenance: Vec::new() })
}

fn count(value: u64) -> Cell {
    Cell::number(value as f64, table::count(value))
}

fn heads(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Bytes, time and energy of a run.
fn run_cells(run: &Run) -> [Cell; 3] {
    [
        Cell::number(run.bytes(), bytes(run.bytes())),
        Cell::number(run.seconds, seconds(run.seconds)),
        Cell::number(run.pj(), joules(run.pj())),
    ]
}

fn accelerators(cost: &Cost) -> Table {
    let head = heads(&["accelerator", "codec", "DRAM bytes", "time", "energy", "of MACs", "of DRAM", "of the codec"]);
    let mut rows = Vec::new();
    for estimate in &cost.accelerators {
        let name = estimate.accelerator.as_ref().map_or("", |accelerator| &accelerator.name);
        for (kind, run) in [("without", Some(&estimate.plain)), ("with", estimate.coded.as_ref())] {
            let Some(run) = run else { continue };
            let mut row = vec![Cell::text(name), Cell::text(kind)];
            row.extend(run_cells(run));
            row.extend([run.mac_pj, run.dram_pj, run.codec_pj].map(|pj| Cell::number(pj, joules(pj))));
            rows.push(row);
        }
    }
    Table { head, rows, foot: None }
}

fn energies(cost: &Cost) -> Bars {
    let mut bars = Vec::new();
    for estimate in &cost.accelerators {
        let name = estimate.accelerator.as_ref().map_or("", |accelerator| &accelerator.name);
        let parts = |run: &Run| vec![run.dram_pj / 1e9, run.mac_pj / 1e9, run.codec_pj / 1e9];
        bars.push((name.to_owned(), parts(&estimate.plain)));
        bars.extend(estimate.coded.as_ref().map(|run| (format!("{name}, codec"), parts(run))));
    }
    let parts = heads(&["DRAM", "MACs", "codec"]);
    Bars { title: String::new(), x_label: "mJ an image".into(), parts, bars }
}

fn traffic(cost: &Cost) -> Bars {
    let coded = cost.memory.coded.is_some();
    let bar = |row: &cost::LayerEstimate| {
        let with = row.coded.map_or(row.plain.map_bytes, |run| run.map_bytes);
        (row.name.clone(), vec![with / 1e3, (row.plain.map_bytes - with).max(0.0) / 1e3])
    };
    Bars {
        title: String::new(),
        x_label: "kB of maps an image".into(),
        parts: if coded { heads(&["with the codec", "saved"]) } else { heads(&["maps"]) },
        bars: cost.memory.layers.iter().map(bar).collect(),
    }
}

fn layers(cost: &Cost) -> Table {
    let head = heads(&["layer", "MACs", "weights", "values read", "values written", "map bytes", "coded bytes"]);
    let row = |(layer, row): (&subband_nn::Layer, &cost::LayerEstimate)| {
        let coded = row.coded.map(|run| run.map_bytes);
        vec![
            Cell::text(layer.name.clone()),
            count(layer.macs),
            count(layer.weights),
            count(layer.reads.iter().map(|map| cost.layers.values(map)).sum()),
            count(layer.writes.as_ref().map_or(0, |map| cost.layers.values(map))),
            Cell::number(row.plain.map_bytes, bytes(row.plain.map_bytes)),
            coded.map_or_else(|| Cell::text(""), |coded| Cell::number(coded, bytes(coded))),
        ]
    };
    let rows = cost.layers.layers.iter().zip(&cost.memory.layers).map(row).collect();
    let coded = cost.memory.coded.map(|run| run.map_bytes);
    let foot = vec![
        Cell::text("all"),
        count(cost.macs),
        count(cost.weights),
        Cell::text(""),
        Cell::text(""),
        Cell::number(cost.memory.plain.map_bytes, bytes(cost.memory.plain.map_bytes)),
        coded.map_or_else(|| Cell::text(""), |coded| Cell::number(coded, bytes(coded))),
    ];
    Table { head, rows, foot: Some(foot) }
}

fn taps(cost: &Cost) -> Table {
    let head = heads(&[
        "tap",
        "shape",
        "transform",
        "read",
        "transform ops",
        "quantize",
        "dequantize",
        "encode",
        "decode",
        "line buffer",
        "plane",
        "tables",
        "bytes",
        "bits a value",
        "rate is",
    ]);
    let row = |tap: &cost::TapCost| {
        let values = tap.shape.iter().product::<usize>() as f64;
        let mut row = vec![
            Cell::text(tap.name.clone()),
            Cell::number(values, table::shape(&tap.shape)),
            Cell::text(tap.transform.clone().unwrap_or_default()),
            if tap.stored { Cell::number(tap.reads as f64, format!("{}x", tap.reads)) } else { Cell::text("fused") },
        ];
        let work = tap.work.as_ref();
        row.extend(work.map_or_else(Default::default, cost::per_value).map(Cell::text));
        let buffer = |bytes: Option<u64>| bytes.map_or_else(|| Cell::text(""), count);
        row.push(buffer(work.map(TapWork::line_buffer_bytes)));
        row.push(buffer(work.map(|work| work.plane_bytes)));
        row.push(buffer(work.map(|work| work.table_bytes)));
        match tap.measured_bytes {
            Some(found) => {
                row.push(Cell::number(found, bytes(found)));
                row.push(Cell::number(8.0 * found / values, format!("{:.3}", 8.0 * found / values)));
                row.push(Cell::text("measured"));
            }
            None => row.extend([Cell::text(""), Cell::text(""), Cell::text("not measured")]),
        }
        row
    };
    Table { head, rows: cost.taps.iter().map(row).collect(), foot: None }
}

fn roofline(estimate: &Estimate) -> Table {
    let mut head = heads(&["layer", "MACs", "DRAM bytes", "time", "energy", "waits for"]);
    let coded = estimate.coded.is_some();
    if coded {
        head.extend(heads(&["coded bytes", "time", "energy", "waits for"]));
    }
    let cells = |run: &Run, layer: bool| {
        let mut cells: Vec<Cell> = run_cells(run).into();
        cells.push(Cell::text(if layer { bound(run) } else { "" }));
        cells
    };
    let line = |name: &str, macs: u64, plain: &Run, coded: Option<&Run>, layer: bool| {
        let mut line = vec![Cell::text(name), count(macs)];
        line.extend(cells(plain, layer));
        line.extend(coded.map_or_else(Vec::new, |run| cells(run, layer)));
        line
    };
    let rows = estimate.layers.iter().map(|row| line(&row.name, row.macs, &row.plain, row.coded.as_ref(), true));
    let macs = estimate.layers.iter().map(|row| row.macs).sum();
    let foot = line("all", macs, &estimate.plain, estimate.coded.as_ref(), false);
    Table { head, rows: rows.collect(), foot: Some(foot) }
}
