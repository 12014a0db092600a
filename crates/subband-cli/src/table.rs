//! Tables and numbers as the reports print them.

use comfy_table::{CellAlignment, Table, presets};
use subband::Steps;

/// A table with a header line; the first column is text, the others are numbers.
pub fn new(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The table as text, without blanks at line ends and with a newline at its end.
pub fn render(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A count with thousands separated: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A shape as `64x56x56`.
pub fn shape(axes: &[usize]) -> String {
    axes.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// A measured quantity with four significant digits, as `0.0312`, `41.25` or `1.5e-7`.
pub fn figure(x: f64) -> String {
    if !x.is_finite() {
        return x.to_string();
    }
    let magnitude = if x == 0.0 { 0 } else { x.abs().log10().floor() as i32 };
    if !(-4..7).contains(&magnitude) {
        return format!("{x:.3e}");
    }
    let text = format!("{x:.*}", (3 - magnitude).max(0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Quantizer steps: the one, or the smallest and the largest.
pub fn steps(steps: &Steps) -> String {
    let all: Vec<f32> = match steps {
        Steps::Uniform(step) => vec![*step],
        Steps::PerSubband(steps) => steps.clone(),
        Steps::PerChannel(rows) => rows.concat(),
    };
    let low = all.iter().copied().fold(f32::INFINITY, f32::min);
    let high = all.iter().copied().fold(0.0, f32::max);
    if low < high { format!("{}..{}", figure(low.into()), figure(high.into())) } else { figure(high.into()) }
}

/// A share as `71.3%`.
pub fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(figure(0.03125), "0.03125");
        assert_eq!(figure(41.2512), "41.25");
        assert_eq!(figure(1.5e-7), "1.500e-7");
        assert_eq!(figure(0.0), "0");
        assert_eq!(figure(12345.6), "12346");
        assert_eq!(figure(f64::INFINITY), "inf");
        assert_eq!(shape(&[1, 16, 32, 32]), "1x16x32x32");
        assert_eq!(percent(0.7131), "71.3%");
    }
}
