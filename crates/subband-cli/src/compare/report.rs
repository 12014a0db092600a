//! Rows as JSON, CSV, a table and a plot.

use std::io::Write;

use anyhow::{Context, Result};

use super::coder::Family;
use super::row::Row;
use crate::plot::{Panel, Plot, Series};
use crate::table;

/// An array of rows.
pub fn write_json(rows: &[Row], output: &mut impl Write) -> Result<()> {
    let text = serde_json::to_string_pretty(rows)? + "\n";
    output.write_all(text.as_bytes()).context("cannot write the JSON file")
}

/// A line of names, then a line a row.
pub fn write_csv(rows: &[Row], output: &mut impl Write) -> Result<()> {
    let mut text = "tensor,shape,values,codec,effort,input,threads,bytes,ratio_f32,bits_per_value,rmse,max_error,\
                    compress_mb_s,decompress_mb_s,peak_bytes,verified\n"
        .to_owned();
    for row in rows {
        let fields = [
            quoted(&row.tensor),
            table::shape(&row.shape),
            row.values.to_string(),
            row.codec.clone(),
            row.effort.clone(),
            quoted(&row.input),
            row.threads.to_string(),
            row.bytes.to_string(),
            row.ratio_f32.to_string(),
            row.bits_per_value.to_string(),
            row.rmse.to_string(),
            row.max_error.to_string(),
            row.compress_mb_s.to_string(),
            row.decompress_mb_s.to_string(),
            row.peak_bytes.map_or_else(String::new, |bytes| bytes.to_string()),
            row.verified.to_string(),
        ];
        text += &(fields.join(",") + "\n");
    }
    output.write_all(text.as_bytes()).context("cannot write the CSV file")
}

/// RFC 4180: in quotes where there is a comma, a quote or a line end, and quotes doubled.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Each coder over all tensors.
pub fn summary(rows: &[Row], tensors: usize) -> String {
    let header = [
        "codec",
        "effort",
        "input",
        "threads",
        "bytes",
        "ratio",
        "bits/value",
        "rmse",
        "comp MB/s",
        "dec MB/s",
        "peak MB",
        "verified",
    ];
    let mut lines = table::new(&header);
    for row in totals(rows) {
        lines.add_row(figures(&row, &row.kind).map(|(text, _)| text));
    }
    let mut text = table::render(&lines);
    let values: usize = totals(rows).first().map_or(0, |row| row.values);
    text += &format!("\n{tensors} tensors, {} values. ", table::count(values as u64));
    text + "MB of the tensors as given; on indices, without the time to make them. rmse of the quantizer.\n"
}

/// What is shown of a row, `input` in its place: texts, and the numbers they stand for where they are such.
pub fn figures(row: &Row, input: &str) -> [(String, Option<f64>); 12] {
    let text = |text: &str| (text.to_owned(), None);
    let number = |number: f64, text: String| (text, Some(number));
    [
        text(&row.codec),
        text(&row.effort),
        text(input),
        number(row.threads as f64, row.threads.to_string()),
        number(row.bytes as f64, table::count(row.bytes as u64)),
        number(row.ratio_f32, format!("{:.2}x", row.ratio_f32)),
        number(row.bits_per_value, format!("{:.3}", row.bits_per_value)),
        number(row.rmse, table::figure(row.rmse)),
        number(row.compress_mb_s, format!("{:.0}", row.compress_mb_s)),
        number(row.decompress_mb_s, format!("{:.0}", row.decompress_mb_s)),
        row.peak_bytes.map_or_else(|| text("-"), |bytes| number(bytes as f64, format!("{:.1}", bytes as f64 / 1e6))),
        text(if row.verified { "yes" } else { "NO" }),
    ]
}

/// Sums over tensors: bytes and times add up, errors as squares; the most memory of any.
pub fn totals(rows: &[Row]) -> Vec<Row> {
    let mut totals: Vec<Row> = Vec::new();
    let same =
        |a: &Row, b: &Row| (&a.codec, &a.effort, &a.kind, a.threads) == (&b.codec, &b.effort, &b.kind, b.threads);
    for row in rows {
        let Some(total) = totals.iter_mut().find(|total| same(total, row)) else {
            totals.push(row.clone());
            continue;
        };
        let (a, b) = (total.given_bytes as f64, row.given_bytes as f64);
        let speed = |one: f64, other: f64| (a + b) / (a / one + b / other);
        total.compress_mb_s = speed(total.compress_mb_s, row.compress_mb_s);
        total.decompress_mb_s = speed(total.decompress_mb_s, row.decompress_mb_s);
        let squares = |row: &Row| row.rmse * row.rmse * row.values as f64;
        total.rmse = ((squares(total) + squares(row)) / (total.values + row.values) as f64).sqrt();
        total.max_error = total.max_error.max(row.max_error);
        total.given_bytes += row.given_bytes;
        total.values += row.values;
        total.bytes += row.bytes;
        total.ratio_f32 = 4.0 * total.values as f64 / total.bytes as f64;
        total.bits_per_value = 32.0 / total.ratio_f32;
        total.peak_bytes = total.peak_bytes.max(row.peak_bytes);
        total.verified &= row.verified;
    }
    totals
}

/// Ratio against speed, to compress above and to decompress below; speeds as logarithms, since they differ a thousandfold.
pub fn plot(rows: &[Row]) -> Plot {
    let totals = totals(rows);
    let panel = |y_label: &str, speed: fn(&Row) -> f64| {
        let of = |family: Family| {
            let rows: Vec<&Row> = totals.iter().filter(|row| row.family == family && row.codec != "memcpy").collect();
            let points = rows.iter().map(|row| (speed(row).log10(), row.ratio_f32)).collect();
            let labels = rows.iter().map(|row| label(row)).collect();
            Series { name: family.name().into(), points, labels, joined: false }
        };
        let series = Family::ALL.map(of).into_iter().filter(|series| !series.points.is_empty()).collect();
        Panel { y_label: y_label.into(), series }
    };
    Plot {
        title: "Ratio against f32 and speed".into(),
        x_label: "log10 of MB/s of the tensors as given".into(),
        panels: vec![
            panel("ratio, compress", |row| row.compress_mb_s),
            panel("ratio, decompress", |row| row.decompress_mb_s),
        ],
    }
}

fn label(row: &Row) -> String {
    let threads = if row.threads > 1 { format!(" x{}", row.threads) } else { String::new() };
    let effort = if row.codec == "zstd" { format!("-{}", row.effort) } else { String::new() };
    format!("{}{effort}{threads}", row.codec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tensor: &str, bytes: usize, speed: f64, rmse: f64) -> Row {
        Row {
            tensor: tensor.into(),
            shape: vec![1, 250, 1],
            values: 250,
            codec: "zstd".into(),
            effort: "1".into(),
            input: "indices (haar 2, step 0.5)".into(),
            kind: "indices (haar 2)".into(),
            threads: 1,
            bytes,
            ratio_f32: 1000.0 / bytes as f64,
            bits_per_value: bytes as f64 * 8.0 / 250.0,
            rmse,
            max_error: rmse,
            compress_mb_s: speed,
            decompress_mb_s: 2.0 * speed,
            peak_bytes: None,
            verified: true,
            family: Family::IndicesLossless,
            given_bytes: 1000,
        }
    }

    #[test]
    fn totals_by_hand() {
        let totals = totals(&[row("a", 100, 100.0, 0.3), row("b", 300, 300.0, 0.4)]);
        assert_eq!(totals.len(), 1);
        let total = &totals[0];
        assert_eq!((total.bytes, total.values, total.ratio_f32), (400, 500, 5.0));
        // 1000 bytes at 100 and 1000 bytes at 300: 2000 bytes at 150.
        assert!((total.compress_mb_s - 150.0).abs() < 1e-9);
        assert!((total.rmse - 0.125f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn csv_quotes_what_it_must() {
        let mut text = Vec::new();
        write_csv(&[row("a \"b\"", 100, 1.0, 0.0)], &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("tensor,shape,") && lines[0].ends_with(",verified"));
        let expected = "\"a \"\"b\"\"\",1x250x1,250,zstd,1,\"indices (haar 2, step 0.5)\",1,100,10,3.2,0,0,1,2,,true";
        assert_eq!(lines[1..], [expected]);
    }

    #[test]
    fn the_plot_names_its_points() {
        let svg = plot(&[row("a", 100, 100.0, 0.0)]).to_svg().unwrap();
        assert!(svg.contains("zstd-1") && svg.contains("ratio, decompress"), "{svg}");
    }
}
