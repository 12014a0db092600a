//! Traffic, time and energy of an image, layer by layer.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use subband::{Operations, TapWork};
use subband_nn::{Layer, Layers};

use super::accelerator::{Accelerator, Arithmetic};
use super::energy::Energy;
use super::rates::MeasuredRates;

/// Everything that is known of a network's cost.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    pub network: String,
    pub macs: u64,
    pub weights: u64,
    pub layers: Layers,
    /// Maps that a profile or an evaluation codes, in the order they are made.
    pub taps: Vec<TapCost>,
    /// What the bytes come from; without it nothing is said of what the codec saves.
    pub rates: Option<MeasuredRates>,
    pub profile_hash: Option<String>,
    pub effort: &'static str,
    pub energy: Energy,
    /// On an accelerator whose buffer holds any layer, and whose time is not known.
    pub memory: Estimate,
    /// On real ones.
    pub accelerators: Vec<Estimate>,
}

/// A coded map of one image.
#[derive(Clone, Debug, Serialize)]
pub struct TapCost {
    pub name: String,
    pub shape: [usize; 3],
    /// Wavelet and levels, where a profile says.
    pub transform: Option<String>,
    /// Whether the map passes through memory; one that is fused away saves nothing.
    pub stored: bool,
    /// How often it is read.
    pub reads: usize,
    pub work: Option<TapWork>,
    /// Mean bytes of the packets that an evaluation wrote.
    pub measured_bytes: Option<f64>,
}

/// What an accelerator makes of a network, for one image.
#[derive(Clone, Debug, Serialize)]
pub struct Estimate {
    pub accelerator: Option<Accelerator>,
    pub arithmetic: Arithmetic,
    pub layers: Vec<LayerEstimate>,
    pub plain: Run,
    /// With the measured bytes, where there are any.
    pub coded: Option<Run>,
}

#[derive(Clone, Debug, Serialize)]
pub struct LayerEstimate {
    pub name: String,
    pub macs: u64,
    pub plain: Run,
    pub coded: Option<Run>,
}

/// A layer, or a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Run {
    pub map_bytes: f64,
    pub weight_bytes: f64,
    /// That of the multiplications alone, and of the traffic alone.
    pub compute_seconds: f64,
    pub memory_seconds: f64,
    /// The longer of both, layer by layer.
    pub seconds: f64,
    pub mac_pj: f64,
    pub dram_pj: f64,
    pub codec_pj: f64,
}

impl Run {
    pub fn pj(&self) -> f64 {
        self.mac_pj + self.dram_pj + self.codec_pj
    }

    pub fn bytes(&self) -> f64 {
        self.map_bytes + self.weight_bytes
    }

    fn add(&mut self, other: &Run) {
        self.map_bytes += other.map_bytes;
        self.weight_bytes += other.weight_bytes;
        self.compute_seconds += other.compute_seconds;
        self.memory_seconds += other.memory_seconds;
        self.seconds += other.seconds;
        self.mac_pj += other.mac_pj;
        self.dram_pj += other.dram_pj;
        self.codec_pj += other.codec_pj;
    }
}

/// Prices `layers` on `accelerator`, or one that has room for everything.
pub fn estimate(
    layers: &Layers,
    taps: &[TapCost],
    energy: &Energy,
    accelerator: Option<&Accelerator>,
    arithmetic: Arithmetic,
) -> Estimate {
    let kept = match accelerator {
        Some(accelerator) if accelerator.keeps_maps => kept_maps(layers, arithmetic.bytes(), accelerator.buffer_bytes),
        _ => HashSet::new(),
    };
    let coded: HashMap<&str, &TapCost> =
        taps.iter().filter(|tap| tap.measured_bytes.is_some()).map(|tap| (tap.name.as_str(), tap)).collect();
    let pricing = Pricing { layers, kept, energy, accelerator, arithmetic };
    let none = HashMap::new();
    let rows: Vec<LayerEstimate> = layers
        .layers
        .iter()
        .map(|layer| LayerEstimate {
            name: layer.name.clone(),
            macs: layer.macs,
            plain: pricing.run(layer, &none),
            coded: (!coded.is_empty()).then(|| pricing.run(layer, &coded)),
        })
        .collect();
    let total = |run: fn(&LayerEstimate) -> Option<Run>| {
        rows.iter().filter_map(run).fold(Run::default(), |mut sum, run| {
            sum.add(&run);
            sum
        })
    };
    let plain = total(|row| Some(row.plain));
    let with = (!coded.is_empty()).then(|| total(|row| row.coded));
    Estimate { accelerator: accelerator.cloned(), arithmetic, layers: rows, plain, coded: with }
}

struct Pricing<'a> {
    layers: &'a Layers,
    kept: HashSet<&'a str>,
    energy: &'a Energy,
    accelerator: Option<&'a Accelerator>,
    arithmetic: Arithmetic,
}

impl Pricing<'_> {
    fn run(&self, layer: &Layer, coded: &HashMap<&str, &TapCost>) -> Run {
        let width = self.arithmetic.bytes();
        let in_memory = |map: &&String| !self.kept.contains(map.as_str());
        let dense = |map: &String| self.layers.values(map) as f64 * width;
        let stored = |map: &String| coded.get(map.as_str()).and_then(|tap| tap.measured_bytes).unwrap_or(dense(map));
        let weights = layer.weights as f64 * width;
        let reads: Vec<&String> = layer.reads.iter().filter(in_memory).collect();
        let (read_dense, read): (f64, f64) =
            (reads.iter().map(|map| dense(map)).sum(), reads.iter().map(|map| stored(map)).sum());
        // Half of the buffer is for maps, half for weights. What does not fit comes in parts, and then the other one is
        // loaded for every part; the better of the two ways is taken.
        let half = self.accelerator.map_or(f64::INFINITY, |accelerator| accelerator.buffer_bytes / 2.0);
        let parts = |bytes: f64| if bytes > half { (bytes / half).ceil() } else { 1.0 };
        let fits = read_dense <= half || weights <= half;
        let maps_in_parts = read + weights * parts(read_dense) < read * parts(weights) + weights;
        let (map_loads, weight_loads) = match (fits, maps_in_parts) {
            (true, _) => (1.0, 1.0),
            (false, true) => (1.0, parts(read_dense)),
            (false, false) => (parts(weights), 1.0),
        };
        let writes: Vec<&String> = layer.writes.iter().filter(in_memory).collect();
        let written: f64 = writes.iter().map(|map| stored(map)).sum();
        let mut run = Run {
            map_bytes: read * map_loads + written,
            weight_bytes: weights * weight_loads,
            mac_pj: layer.macs as f64 * self.energy.mac(self.arithmetic),
            ..Run::default()
        };
        let work_of = |map: &&String| coded.get(map.as_str()).and_then(|tap| tap.work);
        for work in writes.iter().filter_map(&work_of) {
            run.codec_pj += self.codec(&work, work.quantize, work.encode);
        }
        for work in reads.iter().filter_map(work_of) {
            run.codec_pj += map_loads * self.codec(&work, work.dequantize, work.decode);
        }
        run.dram_pj = self.energy.dram(run.bytes());
        if let Some(accelerator) = self.accelerator {
            run.compute_seconds = layer.macs as f64 / accelerator.macs_per_second;
            run.memory_seconds = run.bytes() / accelerator.dram_bytes_per_second;
            run.seconds = run.compute_seconds.max(run.memory_seconds);
        }
        run
    }

    fn codec(&self, work: &TapWork, quantizer: Operations, coder: Operations) -> f64 {
        self.energy.floats(work.transform + quantizer) + self.energy.integers(coder)
    }
}

/// Maps that never leave a buffer: in every layer from the one that makes it to the last that reads it, all maps in use fit.
/// The network's input comes from memory in any case.
fn kept_maps(layers: &Layers, width: f64, buffer: f64) -> HashSet<&str> {
    let mut life: HashMap<&str, [usize; 2]> = HashMap::new();
    for (at, layer) in layers.layers.iter().enumerate() {
        if let Some(map) = &layer.writes {
            life.insert(map, [at, at]);
        }
        for map in &layer.reads {
            life.entry(map).or_insert([0, at])[1] = at;
        }
    }
    let in_use = |at: usize| -> f64 {
        let alive = life.iter().filter(|(_, [first, last])| (*first..=*last).contains(&at));
        alive.map(|(map, _)| layers.values(map) as f64 * width).sum()
    };
    let fits: Vec<bool> = (0..layers.layers.len()).map(|at| in_use(at) <= buffer).collect();
    let made = layers.layers.iter().filter_map(|layer| layer.writes.as_deref());
    made.filter(|map| life.get(map).is_some_and(|&[first, last]| fits[first..=last].iter().all(|&fits| fits))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// x [1000] -> a [1000], 10,000 products, 100 weights -> b [500], 5,000 products and weights, which reads x too.
    fn network() -> Layers {
        let layer = |name: &str, macs, weights, reads: &[&str], writes: Option<&str>| Layer {
            name: name.into(),
            macs,
            weights,
            reads: reads.iter().map(|&map| map.into()).collect(),
            writes: writes.map(str::to_owned),
        };
        Layers {
            maps: BTreeMap::from([("x", 1000), ("a", 1000), ("b", 500)].map(|(n, v)| (n.to_owned(), vec![v]))),
            layers: vec![
                layer("a", 10_000, 100, &["x"], Some("a")),
                layer("b", 5_000, 5_000, &["a", "x"], Some("b")),
                layer("end", 0, 0, &["b"], None),
            ],
            uncounted: Vec::new(),
        }
    }

    fn tap(name: &str, bytes: f64) -> TapCost {
        TapCost {
            name: name.into(),
            shape: [1, 1, 1000],
            transform: None,
            stored: true,
            reads: 1,
            work: None,
            measured_bytes: Some(bytes),
        }
    }

    fn accelerator(buffer_bytes: f64, keeps_maps: bool) -> Accelerator {
        Accelerator {
            name: "by hand".into(),
            source: String::new(),
            macs_per_second: 1e6,
            dram_bytes_per_second: 1e6,
            buffer_bytes,
            arithmetic: Arithmetic::Int8,
            keeps_maps,
        }
    }

    #[test]
    fn traffic_and_energy_by_hand() {
        let energy = Energy::default();
        let found = estimate(&network(), &[tap("a", 250.0)], &energy, None, Arithmetic::Fp32);
        // Read 1000, write 1000; read 2000, write 500; read 500: 5000 values of 4 bytes.
        assert_eq!((found.plain.map_bytes, found.plain.weight_bytes), (20_000.0, 20_400.0));
        let coded = found.coded.unwrap();
        assert_eq!(coded.map_bytes, 20_000.0 - 2.0 * 4000.0 + 2.0 * 250.0);
        assert_eq!(coded.dram_pj, (coded.map_bytes + 20_400.0) * 160.0);
        assert!((coded.mac_pj - 15_000.0 * 4.6).abs() < 1e-6);
        assert_eq!((coded.seconds, coded.codec_pj), (0.0, 0.0));
        assert!(estimate(&network(), &[], &energy, None, Arithmetic::Fp32).coded.is_none());
    }

    #[test]
    fn time_is_the_longer_of_both_layer_by_layer() {
        let found = estimate(
            &network(),
            &[tap("a", 100.0)],
            &Energy::default(),
            Some(&accelerator(1e9, false)),
            Arithmetic::Int8,
        );
        let seconds: Vec<[f64; 2]> =
            found.layers.iter().map(|row| [row.plain.seconds, row.coded.unwrap().seconds]).collect();
        // 10,000 products against 2,100 bytes; 5,000 against 7,500 and 6,600; nothing against 500.
        for (found, expected) in seconds.iter().zip([[10e-3, 10e-3], [7.5e-3, 6.6e-3], [0.5e-3, 0.5e-3]]) {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{seconds:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_loaded_again() {
        // Half a buffer of 1000: the second layer reads 2000 values and 5000 weights. Weights in ten parts would load the
        // maps ten times, maps in four parts the weights four times.
        let run = |taps: &[TapCost]| {
            let buffer = accelerator(1000.0, false);
            let found = estimate(&network(), taps, &Energy::default(), Some(&buffer), Arithmetic::Int8);
            let row = found.layers[1].clone();
            row.coded.unwrap_or(row.plain)
        };
        assert_eq!((run(&[]).map_bytes, run(&[]).weight_bytes), (2000.0 + 500.0, 20_000.0));
        // Coded to 50 bytes each, it is better to load the maps ten times.
        let coded = run(&[tap("a", 50.0), tap("x", 50.0)]);
        assert_eq!((coded.map_bytes, coded.weight_bytes), (1000.0 + 500.0, 5000.0));
    }

    #[test]
    fn a_large_buffer_keeps_maps() {
        let maps = |buffer: f64| {
            let buffer = accelerator(buffer, true);
            estimate(&network(), &[], &Energy::default(), Some(&buffer), Arithmetic::Int8).plain.map_bytes
        };
        // All of x, a and b at once: only the input is read, twice.
        assert_eq!(maps(2500.0), 2000.0);
        // The second layer does not fit: its maps go through memory, with parts of 1200.
        assert_eq!(maps(2400.0), 1000.0 + 1000.0 + 2000.0 + 500.0 + 500.0);
    }
}
