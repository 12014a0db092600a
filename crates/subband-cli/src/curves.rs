//! The metrics of a run over its epochs, as a plot.

use subband_nn::train::{EpochMetrics, RateMetrics};

use crate::plot::{Panel, Plot, Series};

pub fn of(title: &str, epochs: &[EpochMetrics]) -> Plot {
    let series = |name: &str, value: fn(&EpochMetrics) -> f64| {
        Series::line(name, epochs.iter().map(|m| (m.epoch as f64, value(m))))
    };
    let bits = |name: &str, value: fn(&RateMetrics) -> f64| {
        Series::line(name, epochs.iter().filter_map(|m| Some((m.epoch as f64, value(m.rate.as_ref()?)))))
    };
    let panel = |y_label: &str, series| Panel { y_label: y_label.into(), series };
    let mut panels = vec![
        panel("training loss", vec![series("training", |m| m.train_loss)]),
        panel(
            "accuracy, %",
            vec![
                series("training, augmented", |m| 100.0 * m.train_accuracy),
                series("held out", |m| 100.0 * m.held_out_accuracy),
            ],
        ),
    ];
    if epochs.iter().any(|m| m.rate.is_some()) {
        panels.push(panel(
            "bits per value",
            vec![
                bits("estimate, training", |r| r.estimated_bits_per_value),
                bits("real bytes, held out", |r| r.held_out_bits_per_value),
            ],
        ));
    }
    panels.push(panel("learning rate", vec![series("learning rate", |m| m.learning_rate)]));
    Plot { title: title.into(), x_label: "epoch".into(), panels }
}
