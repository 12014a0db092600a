//! Bars in parts, one a name, from left to right.

use anyhow::Result;
use plotters::prelude::*;

use super::{COLOURS, LEGEND_HEIGHT, TITLE_HEIGHT, WIDTH, X_LABEL_HEIGHT, font, number};

/// Bars below each other, each made of the same parts side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// May be empty.
    pub title: String,
    pub x_label: String,
    pub parts: Vec<String>,
    /// A name, and a value, 0 or more, for each part.
    pub bars: Vec<(String, Vec<f64>)>,
}

const BAR_HEIGHT: u32 = 24;
/// Letters of a name that are shown; nobody here knows the viewer's font: 7 pixels a letter is ample.
const MOST_LETTERS: usize = 40;

impl Bars {
    /// The picture as the text of an SVG file.
    pub fn to_svg(&self) -> Result<String> {
        let title_height = if self.title.is_empty() { 0 } else { TITLE_HEIGHT };
        let letters = self.bars.iter().map(|(name, _)| name.chars().count().min(MOST_LETTERS)).max().unwrap_or(0);
        let names_width = 12 + 7 * letters as u32;
        let plane_height = BAR_HEIGHT * self.bars.len().max(1) as u32;
        let height = title_height + LEGEND_HEIGHT as u32 + plane_height + 24 + X_LABEL_HEIGHT;
        let total = |values: &[f64]| values.iter().filter(|value| value.is_finite()).sum::<f64>();
        let longest = self.bars.iter().map(|(_, values)| total(values)).fold(0.0, f64::max);
        let end = if longest > 0.0 { longest * 1.08 } else { 1.0 };
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
            area.fill(&WHITE)?;
            let (title, rest) = area.split_vertically(title_height);
            if !self.title.is_empty() {
                title.draw(&Text::new(self.title.as_str(), (12, 12), font(20)))?;
            }
            let mut x = names_width as i32;
            for (part, colour) in self.parts.iter().zip(COLOURS.iter().cycle()) {
                rest.draw(&Rectangle::new([(x, 4), (x + 12, 16)], colour.filled()))?;
                rest.draw(&Text::new(part.as_str(), (x + 18, 4), font(14)))?;
                x += 18 + 7 * part.chars().count() as i32 + 20;
            }
            let mut chart = ChartBuilder::on(&rest)
                .margin_top(LEGEND_HEIGHT)
                .margin_right(24)
                .margin_left(names_width as i32)
                .x_label_area_size(24 + X_LABEL_HEIGHT)
                .build_cartesian_2d(0.0..end, 0.0..self.bars.len().max(1) as f64)?;
            chart
                .configure_mesh()
                .disable_y_mesh()
                .disable_y_axis()
                .bold_line_style(BLACK.mix(0.12))
                .light_line_style(TRANSPARENT)
                .x_labels(10)
                .x_label_formatter(&|&x| number(x))
                .label_style(font(13))
                .axis_desc_style(font(15))
                .x_desc(self.x_label.as_str())
                .draw()?;
            for (index, (name, values)) in self.bars.iter().enumerate() {
                // The first is on top.
                let top = (self.bars.len() - index) as f64 - 0.15;
                let mut start = 0.0;
                for (value, colour) in values.iter().zip(COLOURS.iter().cycle()).filter(|(value, _)| **value > 0.0) {
                    let corners = [(start, top), (start + value, top - 0.7)];
                    chart.draw_series([Rectangle::new(corners, colour.filled())])?;
                    start += value;
                }
                let middle = LEGEND_HEIGHT + (BAR_HEIGHT * index as u32 + BAR_HEIGHT / 2) as i32;
                let shown: String = name.chars().take(MOST_LETTERS).collect();
                rest.draw(&Text::new(shown, (4, middle - 6), font(13)))?;
            }
            area.present()?;
        }
        Ok(svg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_a_rectangle() {
        let bars = |values: [[f64; 2]; 2]| Bars {
            title: "bits".into(),
            x_label: "bits a value".into(),
            parts: vec!["LL".into(), "level 1".into()],
            bars: values.iter().map(|row| ("layer<1>".to_owned(), row.to_vec())).collect(),
        };
        let count = |values| bars(values).to_svg().unwrap().matches("<rect").count();
        // The paper, two in the legend, and the parts above zero.
        assert_eq!(count([[1.0, 2.0], [0.5, 0.25]]), 1 + 2 + 4);
        assert_eq!(count([[1.0, 0.0], [f64::NAN, 0.0]]), 1 + 2 + 1);
        let svg = bars([[0.0; 2]; 2]).to_svg().unwrap();
        assert!(svg.contains("layer&lt;1&gt;") && svg.contains("bits a value"), "{svg}");
        Bars { title: String::new(), x_label: String::new(), parts: vec![], bars: vec![] }.to_svg().unwrap();
    }
}
