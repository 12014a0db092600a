//! Costs as tables for people, and what they take for granted.

use subband::{Operations, TapWork};

use super::estimate::{Cost, Estimate, Run};
use crate::onnx::printable;
use crate::table;

/// All tables, then the assumptions.
pub fn text(cost: &Cost, each_layer: bool) -> String {
    let mut text = layers(cost) + "\n";
    let mut line = |name: &str, value: String| text += &format!("{name:16}{value}\n");
    line("network", format!("{}: {} layers", printable(&cost.network), cost.layers.layers.len()));
    line("MACs", format!("{} an image", table::count(cost.macs)));
    line("weights", table::count(cost.weights));
    for (name, value) in memory_facts(cost) {
        line(name, value);
    }
    if !cost.taps.is_empty() {
        text += &format!("\n{}", taps(cost));
    }
    text += &format!("\n{}", accelerators(cost));
    if each_layer {
        for estimate in &cost.accelerators {
            text += &format!("\n{}", roofline(estimate));
        }
    }
    text += "\nAssumptions\n";
    assumptions(cost).iter().for_each(|assumption| text += &format!("- {assumption}\n"));
    text
}

/// DRAM traffic and energy of an image at the width that was asked for.
pub fn memory_facts(cost: &Cost) -> Vec<(&'static str, String)> {
    let Estimate { plain, coded, .. } = &cost.memory;
    let mut facts = vec![(
        "maps in DRAM",
        match coded {
            Some(coded) => format!(
                "{} bytes an image, with the codec {}: {:.2}x less",
                bytes(plain.map_bytes),
                bytes(coded.map_bytes),
                plain.map_bytes / coded.map_bytes
            ),
            None => format!("{} bytes an image", bytes(plain.map_bytes)),
        },
    )];
    facts.push(("weights in DRAM", format!("{} bytes an image", bytes(plain.weight_bytes))));
    let energy = |run: &Run| {
        let codec = if run.codec_pj > 0.0 { format!(", codec {}", joules(run.codec_pj)) } else { String::new() };
        format!("{}: MACs {}, DRAM {}{codec}", joules(run.pj()), joules(run.mac_pj), joules(run.dram_pj))
    };
    facts.push(("energy", energy(plain)));
    if let Some(coded) = coded {
        facts.push(("with the codec", energy(coded)));
    }
    if let Some(rates) = &cost.rates {
        facts.push((
            "rates",
            format!(
                "measured: bytes written for {} images of {}",
                table::count(rates.images),
                printable(&rates.dataset)
            ),
        ));
    }
    facts
}

fn layers(cost: &Cost) -> String {
    let mut rows = table::new(&["layer", "MACs", "weights", "reads", "writes", "map bytes", "coded"]);
    for (layer, row) in cost.layers.layers.iter().zip(&cost.memory.layers) {
        let reads: u64 = layer.reads.iter().map(|map| cost.layers.values(map)).sum();
        let writes = layer.writes.as_ref().map_or(0, |map| cost.layers.values(map));
        rows.add_row([
            printable(&layer.name),
            table::count(layer.macs),
            table::count(layer.weights),
            table::count(reads),
            table::count(writes),
            bytes(row.plain.map_bytes),
            row.coded.map_or(String::new(), |coded| bytes(coded.map_bytes)),
        ]);
    }
    table::render(&rows)
}

/// Work of a tap for each value of its maps.
pub fn per_value(work: &TapWork) -> [String; 5] {
    let of = |work_on_map: Operations| {
        let each = |count: u64| table::figure((100.0 * count as f64 / work.values.max(1) as f64).round() / 100.0);
        format!("{} + {} x", each(work_on_map.adds), each(work_on_map.multiplies))
    };
    [work.transform, work.quantize, work.dequantize, work.encode, work.decode].map(of)
}

fn taps(cost: &Cost) -> String {
    let mut rows = table::new(&[
        "tap",
        "shape",
        "read",
        "transform",
        "quantize",
        "encode",
        "decode",
        "line buffer",
        "plane",
        "tables",
        "bytes",
        "rate",
    ]);
    for tap in &cost.taps {
        let dense = tap.shape.iter().product::<usize>() as f64;
        let [transform, quantize, _, encode, decode] = tap.work.as_ref().map_or_else(Default::default, per_value);
        let figure = |value: Option<u64>| value.map_or(String::new(), table::count);
        rows.add_row([
            printable(&tap.name),
            table::shape(&tap.shape),
            if tap.stored { format!("{}x", tap.reads) } else { "fused".into() },
            transform,
            quantize,
            encode,
            decode,
            figure(tap.work.as_ref().map(TapWork::line_buffer_bytes)),
            figure(tap.work.map(|work| work.plane_bytes)),
            figure(tap.work.map(|work| work.table_bytes)),
            tap.measured_bytes.map_or("not measured".into(), bytes),
            tap.measured_bytes.map_or(String::new(), |found| format!("{:.3} bits", 8.0 * found / dense)),
        ]);
    }
    table::render(&rows)
}

fn accelerators(cost: &Cost) -> String {
    let mut rows =
        table::new(&["accelerator", "", "DRAM bytes", "time", "images/s", "energy", "MACs", "DRAM", "codec"]);
    for estimate in &cost.accelerators {
        let name = estimate.accelerator.as_ref().map_or("", |accelerator| &accelerator.name);
        let mut row = |name: &str, kind: &str, run: &Run| {
            rows.add_row([
                printable(name),
                kind.to_owned(),
                bytes(run.bytes()),
                seconds(run.seconds),
                table::figure(1.0 / run.seconds),
                joules(run.pj()),
                joules(run.mac_pj),
                joules(run.dram_pj),
                joules(run.codec_pj),
            ]);
        };
        row(name, "plain", &estimate.plain);
        if let Some(coded) = &estimate.coded {
            row("", "codec", coded);
            let share = |part: f64, whole: f64| format!("{:.2}x", part / whole);
            rows.add_row([
                String::new(),
                "less".into(),
                share(estimate.plain.bytes(), coded.bytes()),
                share(estimate.plain.seconds, coded.seconds),
                String::new(),
                share(estimate.plain.pj(), coded.pj()),
            ]);
        }
    }
    table::render(&rows)
}

fn roofline(estimate: &Estimate) -> String {
    let mut rows = table::new(&[
        "layer",
        "MACs",
        "DRAM bytes",
        "time",
        "bound",
        "energy",
        "coded bytes",
        "time",
        "bound",
        "energy",
    ]);
    let cells = |run: &Run| [bytes(run.bytes()), seconds(run.seconds), bound(run).into(), joules(run.pj())];
    for row in &estimate.layers {
        let mut line = vec![printable(&row.name), table::count(row.macs)];
        line.extend(cells(&row.plain));
        line.extend(row.coded.as_ref().map_or_else(Default::default, cells));
        rows.add_row(line);
    }
    table::render(&rows)
}

/// What a layer waits for.
pub fn bound(run: &Run) -> &'static str {
    if run.compute_seconds >= run.memory_seconds { "compute" } else { "memory" }
}

/// What the figures take for granted.
pub fn assumptions(cost: &Cost) -> Vec<String> {
    let bits = 8.0 * cost.memory.arithmetic.bytes();
    let mut all = vec![
        format!(
            "A layer reads its maps and weights from DRAM and writes its map back, batch 1; normalisation, activation and \
             the sum of a residual block are fused with the layer before them. The tables above the accelerators count \
             {bits} bits a value and weight, the accelerators those that they work with."
        ),
        "Weights are never compressed, and neither are maps that are no tap of the profile.".into(),
    ];
    all.push(match &cost.rates {
        Some(rates) => format!(
            "Coded bytes are means of packets that were written for {} images of {}, headers and checksums included; the \
             profile ({}) is on the chip. They do not depend on the width of the values without the codec.",
            table::count(rates.images),
            printable(&rates.dataset),
            rates.profile_hash.get(..12).unwrap_or(&rates.profile_hash)
        ),
        None => "No rates were measured: give --eval or --profile with --data to see what the codec saves.".into(),
    });
    all.push(
        "An accelerator splits its buffer in two, for maps and for weights; what does not fit comes in parts, and the other \
         one is loaded anew for each part, whichever way is less traffic. Time is the longer of multiplications at full use \
         and traffic at full bandwidth, layer by layer. One that keeps maps writes none to DRAM while all in use fit."
            .into(),
    );
    all.push(format!(
        "Energies are those of {} ({}): DRAM {} pJ for 32 bits. What other memories on the chip, wires and leakage take is \
         not in them; it is the same with the codec and without, but for the codec's own, which is.",
        cost.energy.name,
        if cost.energy.source.is_empty() { "a file" } else { &cost.energy.source },
        table::figure(cost.energy.dram_32)
    ));
    if cost.taps.iter().any(|tap| tap.work.is_some()) {
        all.push(format!(
            "Operations (additions + multiplications x, for each value of the map) are counted from the lifting steps, the \
             quantizer and the coder of effort {}; the transform and the quantizer work in 32-bit floats, the coder in 32-bit \
             integers. The codec keeps up with the memory. A map is encoded once and decoded whenever it is read.",
            cost.effort
        ));
        all.push(
            "The line buffer is for one plane of floats at a time, row by row, and times the channels if an accelerator makes \
             them side by side. The plane holds the indices of one channel, since streams have the coarsest subband first."
                .into(),
        );
    }
    let missing: Vec<&str> = cost
        .taps
        .iter()
        .filter(|tap| tap.work.is_none() && tap.measured_bytes.is_some())
        .map(|tap| &*tap.name)
        .collect();
    if !missing.is_empty() {
        all.push("The energy of the codec itself is left out: give --profile to count its operations.".into());
    }
    if cost.taps.iter().any(|tap| !tap.stored) {
        all.push("A tap that is fused passes through no memory here, so coding it saves nothing.".into());
    }
    if !cost.layers.uncounted.is_empty() {
        all.push(format!("Multiplications of {} are not counted.", cost.layers.uncounted.join(", ")));
    }
    for estimate in &cost.accelerators {
        if let Some(accelerator) = &estimate.accelerator {
            all.push(format!(
                "{}: {} GMAC/s, {} GB/s, {} KiB, {:?}{}. {}",
                printable(&accelerator.name),
                table::figure(accelerator.macs_per_second / 1e9),
                table::figure(accelerator.dram_bytes_per_second / 1e9),
                table::figure(accelerator.buffer_bytes / 1024.0),
                accelerator.arithmetic,
                if accelerator.keeps_maps { ", keeps maps" } else { "" },
                printable(&accelerator.source)
            ));
        }
    }
    all
}

/// A number of bytes, which may be a mean.
pub fn bytes(bytes: f64) -> String {
    table::count(bytes.round() as u64)
}

pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{} s", table::figure(s)),
        s if s >= 1e-3 => format!("{} ms", table::figure(s * 1e3)),
        s => format!("{} us", table::figure(s * 1e6)),
    }
}

/// An energy given in pJ.
pub fn joules(pj: f64) -> String {
    match pj {
        p if p >= 1e9 => format!("{} mJ", table::figure(p / 1e9)),
        p if p >= 1e6 => format!("{} uJ", table::figure(p / 1e6)),
        p => format!("{} nJ", table::figure(p / 1e3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit_the_size() {
        assert_eq!([0.0125, 2.5, 3e-6].map(seconds), ["12.5 ms", "2.5 s", "3 us"]);
        assert_eq!([1.5e9, 2e6, 3e3, 0.0].map(joules), ["1.5 mJ", "2 uJ", "3 nJ", "0 nJ"]);
    }
}
