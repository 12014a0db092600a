//! Plots as SVG: named series over a common x axis, in panels one above the other.

mod bars;

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::output;

pub use bars::Bars;

/// A picture of one or more panels.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    pub title: String,
    /// What all panels share, below the last one.
    pub x_label: String,
    /// From top to bottom, each with its own y axis.
    pub panels: Vec<Panel>,
}

/// Series that share a y axis; a legend names them where there are several.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    pub y_label: String,
    pub series: Vec<Series>,
}

/// Points in the order they are joined; those that are not finite are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// Beside the points; none, or one for each.
    pub labels: Vec<String>,
    /// A line through the points; else each stands alone.
    pub joined: bool,
}

const WIDTH: u32 = 800;
const PANEL_HEIGHT: u32 = 220;
/// Of a panel that has the picture to itself.
const LONE_HEIGHT: u32 = 420;
const TITLE_HEIGHT: u32 = 36;
const X_LABEL_HEIGHT: u32 = 24;
const LEGEND_HEIGHT: i32 = 20;
/// Free space beside the label of the y axis, which is centred on its anchor; and the label with the ticks.
const MARGIN: u32 = 14;
const Y_LABEL_WIDTH: u32 = 58;
/// Where the panels begin, and what is written above them.
const LEFT: i32 = (MARGIN + Y_LABEL_WIDTH) as i32;

/// A joined series has a mark at each point up to this many: beyond, they would cover the line.
const MOST_MARKS: usize = 64;

/// The colours of Okabe and Ito, which the colour-blind can tell apart.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Series {
    /// Points joined by a line.
    pub fn line(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name: name.into(), points: points.into_iter().collect(), labels: Vec::new(), joined: true }
    }

    fn finite(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite())
    }
}

impl Plot {
    /// The picture as the text of an SVG file. Text is left to the viewer's fonts.
    pub fn to_svg(&self) -> Result<String> {
        let panel_height = if self.panels.len() == 1 { LONE_HEIGHT } else { PANEL_HEIGHT };
        let height = TITLE_HEIGHT + panel_height * self.panels.len() as u32 + X_LABEL_HEIGHT;
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
            area.fill(&WHITE)?;
            let (title, rest) = area.split_vertically(TITLE_HEIGHT);
            title.draw(&Text::new(self.title.as_str(), (LEFT, 12), font(20)))?;
            let xs = range(self.panels.iter().flat_map(|panel| &panel.series).flat_map(Series::finite).map(|(x, _)| x));
            let mut rest = rest;
            for (index, panel) in self.panels.iter().enumerate() {
                let last = index + 1 == self.panels.len();
                let (area, below) = rest.split_vertically(panel_height + if last { X_LABEL_HEIGHT } else { 0 });
                panel.draw(&area, xs.clone(), if last { &self.x_label } else { "" })?;
                rest = below;
            }
            area.present()?;
        }
        Ok(svg)
    }

    /// Writes the picture as an SVG file, in place of one that is there.
    pub fn write(&self, path: &Path) -> Result<()> {
        output::replace(path, self.to_svg()?.as_bytes())
    }
}

impl Panel {
    fn draw(&self, area: &Area<'_>, xs: Range<f64>, x_label: &str) -> Result<()> {
        if self.series.len() > 1 {
            self.draw_legend(area)?;
        }
        let ys = range(self.series.iter().flat_map(Series::finite).map(|(_, y)| y));
        let mut chart = ChartBuilder::on(area)
            .margin_top(LEGEND_HEIGHT)
            .margin_right(24)
            .margin_left(MARGIN)
            .y_label_area_size(Y_LABEL_WIDTH)
            .x_label_area_size(if x_label.is_empty() { 24 } else { 24 + X_LABEL_HEIGHT })
            .build_cartesian_2d(xs, ys)?;
        chart
            .configure_mesh()
            .bold_line_style(BLACK.mix(0.12))
            .light_line_style(TRANSPARENT)
            .x_labels(12)
            .y_labels(6)
            .x_label_formatter(&|&x| number(x))
            .y_label_formatter(&|&y| number(y))
            .label_style(font(13))
            .axis_desc_style(font(15))
            .x_desc(x_label)
            .y_desc(self.y_label.as_str())
            .draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            if series.joined {
                chart.draw_series(LineSeries::new(series.finite(), colour.stroke_width(2)))?;
            }
            if !series.joined || series.points.len() <= MOST_MARKS {
                chart.draw_series(series.finite().map(|at| Circle::new(at, 3, colour.filled())))?;
            }
            let labels = series.points.iter().zip(&series.labels).filter(|((x, y), _)| x.is_finite() && y.is_finite());
            let style = ("sans-serif", 10).into_font().color(colour);
            chart.draw_series(
                labels.map(|(&at, label)| EmptyElement::at(at) + Text::new(label.clone(), (5, -10), style.clone())),
            )?;
        }
        Ok(())
    }

    /// A row of names above the panel, where it covers no data.
    fn draw_legend(&self, area: &Area<'_>) -> Result<()> {
        let mut x = LEFT;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let middle = LEGEND_HEIGHT / 2;
            if series.joined {
                area.draw(&PathElement::new([(x, middle), (x + 20, middle)], colour.stroke_width(2)))?;
            } else {
                area.draw(&Circle::new((x + 10, middle), 3, colour.filled()))?;
            }
            area.draw(&Text::new(series.name.as_str(), (x + 26, middle - 5), font(14)))?;
            // Nobody here knows the viewer's font: 7 pixels a letter is ample at this size.
            x += 26 + 7 * series.name.chars().count() as i32 + 20;
        }
        Ok(())
    }
}

fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK)
}

/// From the least to the greatest value with a margin; never empty.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, greatest) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if least > greatest {
        return 0.0..1.0;
    }
    let margin = match greatest - least {
        0.0 if least == 0.0 => 1.0,
        0.0 => 0.1 * least.abs(),
        span => 0.04 * span,
    };
    least - margin..greatest + margin
}

/// A number at a tick: no more digits than it has, and none of those that floating point adds.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[(f64, f64)]) -> Plot {
        let panel = |names: &[&str]| Panel {
            y_label: "share <%>".into(),
            series: names.iter().map(|&name| Series::line(name, points.iter().copied())).collect(),
        };
        Plot { title: "two".into(), x_label: "epoch".into(), panels: vec![panel(&["one", "other"]), panel(&["alone"])] }
    }

    #[test]
    fn a_plot_has_its_words_lines_and_marks() {
        let svg = plot(&[(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.75)]).to_svg().unwrap();
        // Both panels are of the same shares; only the first has a legend.
        for (word, count) in [("two", 1), ("epoch", 1), ("share &lt;%&gt;", 2), ("one", 1), ("other", 1)] {
            assert_eq!(svg.lines().filter(|line| line.trim() == word).count(), count, "{word}");
        }
        assert!(!svg.contains("alone") && !svg.contains("NaN") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3 * 2);
        let many: Vec<_> = (0..500).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let mut plot = plot(&many);
        assert!(!plot.to_svg().unwrap().contains("<circle"));
        plot.panels[0].series[0].joined = false;
        // One more in the legend.
        assert_eq!(plot.to_svg().unwrap().matches("<circle").count(), 501);
    }

    #[test]
    fn any_points_give_a_picture() {
        let odd = [f64::NAN, f64::INFINITY, -1e300, 1e-300, 0.0];
        plot(&[]).to_svg().unwrap();
        for value in odd {
            plot(&[(value, value)]).to_svg().unwrap();
        }
    }

    #[test]
    fn ranges_and_ticks() {
        assert_eq!(range([].into_iter()), 0.0..1.0);
        assert_eq!(range([2.0].into_iter()), 1.8..2.2);
        assert_eq!(range([0.0].into_iter()), -1.0..1.0);
        assert_eq!(range([0.0, 100.0, 50.0].into_iter()), -4.0..104.0);
        let texts = [0.0, -0.0, 12.0, 0.1 + 0.2, -2.5, 3e-7, 2e8].map(number);
        assert_eq!(texts, ["0", "0", "12", "0.3", "-2.5", "3.0e-7", "2.0e8"]);
    }
}
