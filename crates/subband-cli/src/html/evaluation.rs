//! The page of `subband eval`.

use anyhow::Result;
use subband::Profile;
use subband::{Rates, TapReport};
use subband_nn::data::Skipped;
use subband_nn::evaluate::Evaluation;
use subband_onnx::ModelEvaluation;

use super::page::{Block, Cell, Page, Section, Table};
use crate::evaluation_report::{self, accuracy};
use crate::plot::Bars;
use crate::table;

/// Channels of a map with their subbands, the decoded map and the error, as a PNG file.
#[derive(Clone, Debug)]
pub struct TapPicture {
    pub png: Vec<u8>,
    pub caption: String,
}

/// What `found` says, with pictures of some taps. The caller adds what made the page.
pub fn of_evaluation(found: &Evaluation, profile: &Profile, pictures: Vec<TapPicture>) -> Result<Page> {
    let facts = vec![
        ("images", table::count(found.images as u64)),
        ("top-1", accuracy(found.top1, found.top1_uncompressed)),
        ("top-5", accuracy(found.top5, found.top5_uncompressed)),
    ];
    let sections = sections(&found.rates, profile, pictures, &found.skipped)?;
    Ok(page(&found.network, &found.dataset, facts, &found.rates, sections))
}

/// The same for an ONNX model.
pub fn of_model_evaluation(found: &ModelEvaluation, profile: &Profile, pictures: Vec<TapPicture>) -> Result<Page> {
    let mut facts = vec![("inputs", format!("{}, on {}", table::count(found.images as u64), found.engine))];
    facts.extend(evaluation_report::facts(&found.measured));
    let sections = sections(&found.rates, profile, pictures, &found.skipped)?;
    Ok(page(&found.network, &found.dataset, facts, &found.rates, sections))
}

fn page(
    network: &str,
    dataset: &str,
    mut facts: Vec<(&'static str, String)>,
    rates: &Rates,
    sections: Vec<Section>,
) -> Page {
    facts.extend(totals(rates));
    Page {
        title: format!("{network} on {dataset}"),
        facts: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        sections,
        provenance: Vec::new(),
    }
}

/// Tables and charts of the taps, pictures, and what was left out.
pub(super) fn sections(
    found: &Rates,
    profile: &Profile,
    pictures: Vec<TapPicture>,
    skipped: &[Skipped],
) -> Result<Vec<Section>> {
    let mut sections = vec![
        Section {
            heading: "Taps".into(),
            note: "Bits are those of written packets of one image each, headers and checksums included. Order-0 bits are an \
                   estimate: the entropy of the indices by subband and channel over all images. A click on a head sorts."
                .into(),
            blocks: vec![Block::Table(taps(found, profile))],
        },
        Section {
            heading: "Where the bits go".into(),
            note: "Order-0 bits a value of each tap by level of the transform: LL is what is left of the coarsest level, level 1 \
                   the finest details. An estimate, since a packet's bytes cannot be told apart."
                .into(),
            blocks: vec![Block::Chart(levels(found)?.to_svg()?)],
        },
    ];
    if !pictures.is_empty() {
        sections.push(Section {
            heading: "Maps".into(),
            note: "One image's map at a tap: the channels that change most over the plane, one a row. Subbands are indices on a \
                   logarithmic scale, blue below zero and red above; the error is four times enlarged on the scale of the map."
                .into(),
            blocks: pictures.into_iter().map(|TapPicture { png, caption }| Block::Picture { png, caption }).collect(),
        });
    }
    if !skipped.is_empty() {
        let row = |skipped: &Skipped| {
            vec![Cell::text(skipped.path.display().to_string()), Cell::text(skipped.reason.clone())]
        };
        let rows = skipped.iter().map(row).collect();
        sections.push(Section {
            heading: "Files left out".into(),
            note: String::new(),
            blocks: vec![Block::Table(Table { head: vec!["file".into(), "reason".into()], rows, foot: None })],
        });
    }
    Ok(sections)
}

/// What all taps together take.
pub(super) fn totals(found: &Rates) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut fact = |name, value| facts.push((name, value));
    fact(
        "rate",
        format!(
            "{:.3} bits a value: {:.1}x against 32 bits, {:.1}x against 16, {:.1}x against 8",
            found.bits_per_value, found.ratio_f32, found.ratio_x16, found.ratio_x8
        ),
    );
    let (bytes, values) = (table::count(found.bytes), table::count(found.values));
    fact("bytes", format!("{bytes} for {values} values"));
    fact("profile", format!("{} bytes, shared by encoder and decoder", table::count(found.profile_bytes as u64)));
    if let Some(bits) = found.self_contained_bits_per_value {
        fact("self-contained", format!("{bits:.3} bits a value, tables in every stream"));
    }
    fact("order-0 entropy", format!("{:.3} bits a value, an estimate", found.order0_entropy_bits_per_value));
    fact(
        "exp-Golomb",
        format!(
            "{:.3} bits a value: the thesis's code, order {}, on the same indices",
            found.seg_bits_per_value, found.seg_order
        ),
    );
    fact("clamped", format!("{} values or indices", table::count(found.saturated)));
    facts
}

fn taps(found: &Rates, profile: &Profile) -> Table {
    let head = [
        "tap",
        "shape",
        "transform",
        "steps",
        "values",
        "bytes",
        "bits a value",
        "ratio",
        "zeros",
        "RMSE",
        "order-0 bits",
    ];
    let row = |tap: &TapReport| {
        let coding = profile.tap(&tap.name).ok().map(|tap| tap.coding());
        vec![
            Cell::text(tap.name.clone()),
            Cell::number(tap.shape.iter().product::<usize>() as f64, table::shape(&tap.shape)),
            Cell::text(coding.map_or_else(String::new, |coding| format!("{} {}", coding.wavelet, coding.levels))),
            Cell::text(coding.map_or_else(String::new, |coding| table::steps(&coding.steps))),
            Cell::number(tap.values as f64, table::count(tap.values)),
            Cell::number(tap.bytes as f64, table::count(tap.bytes)),
            Cell::number(tap.bits_per_value, format!("{:.3}", tap.bits_per_value)),
            Cell::number(tap.ratio_f32, format!("{:.1}x", tap.ratio_f32)),
            Cell::number(tap.zeros, table::percent(tap.zeros)),
            Cell::number(tap.mse.sqrt(), table::figure(tap.mse.sqrt())),
            Cell::number(tap.order0_entropy_bits_per_value, format!("{:.3}", tap.order0_entropy_bits_per_value)),
        ]
    };
    let foot = vec![
        Cell::text("all"),
        Cell::text(""),
        Cell::text(""),
        Cell::text(""),
        Cell::number(found.values as f64, table::count(found.values)),
        Cell::number(found.bytes as f64, table::count(found.bytes)),
        Cell::number(found.bits_per_value, format!("{:.3}", found.bits_per_value)),
        Cell::number(found.ratio_f32, format!("{:.1}x", found.ratio_f32)),
        Cell::number(found.zeros, table::percent(found.zeros)),
        Cell::text(""),
        Cell::number(found.order0_entropy_bits_per_value, format!("{:.3}", found.order0_entropy_bits_per_value)),
    ];
    Table { head: head.map(str::to_owned).into(), rows: found.per_tap.iter().map(row).collect(), foot: Some(foot) }
}

/// Bars of the taps, in parts by level. Taps may have different numbers of levels.
fn levels(found: &Rates) -> Result<Bars> {
    let levels = |tap: &TapReport| tap.order0_bits_per_value_of_subbands.len() / 3;
    let most = found.per_tap.iter().map(levels).max().unwrap_or(0);
    let parts =
        std::iter::once("LL".to_owned()).chain((1..=most).rev().map(|level| format!("level {level}"))).collect();
    let bars = found.per_tap.iter().map(|tap| {
        let bits = &tap.order0_bits_per_value_of_subbands;
        let mut values = vec![0.0; most + 1];
        values[0] = bits.first().copied().unwrap_or(0.0);
        // In coding order: the coarsest level first.
        for (index, details) in bits[bits.len().min(1)..].chunks(3).enumerate() {
            values[1 + most - levels(tap) + index] = details.iter().sum();
        }
        (tap.name.clone(), values)
    });
    Ok(Bars { title: String::new(), x_label: "order-0 bits a value".into(), parts, bars: bars.collect() })
}
