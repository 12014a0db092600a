//! Speed of the codec beside a copy, lz4 and zstd -1, all in one run: `just bench`. MB/s are of f32 and of the time that the
//! process had a core, medians of rounds in which everything takes its turn, so that ratios hold on a busy machine too. Only
//! what two threads do is timed by the clock, beside one thread timed so.
//!
//! `cargo bench -p subband --bench codec -- [SECONDS] [PART OF A NAME]`

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use subband::{
    Coding, Config, DecompressOptions, Effort, Scratch, Steps, TapCalibrator, TapCodec, Target, TensorView, Wavelet,
    Workspace, compress, compress_into, decompress, decompress_into,
};

/// 25.7 MB: out of the second cache.
const LARGE: [usize; 4] = [8, 64, 112, 112];
/// About 1.5 bits a value with the Haar transform.
const STEP: f32 = 0.2;
/// The blocks of ResNet-20, and a large map.
const MAPS: [[usize; 3]; 4] = [[16, 32, 32], [32, 16, 16], [64, 8, 8], [64, 112, 112]];

/// Smooth bumps with noise, rectified: about half of the values are zero, as after a ReLU.
fn relu_map(shape: &[usize]) -> Vec<f32> {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let [planes @ .., height, width] = shape else { unreachable!("planes have two axes") };
    let mut map = Vec::with_capacity(shape.iter().product());
    for c in 0..planes.iter().product::<usize>() {
        for y in 0..*height {
            for x in 0..*width {
                let (u, v) = (x as f32 / 9.0 + c as f32, y as f32 / 7.0 - c as f32);
                map.push((u.sin() * v.cos() + 0.6 * noise() - 0.1).max(0.0));
            }
        }
    }
    map
}

/// How time is taken.
#[derive(Clone, Copy, PartialEq)]
enum Clock {
    /// That of all threads of the process together.
    Core,
    Wall,
}

impl Clock {
    fn now(self) -> Duration {
        let time = clock_gettime(if self == Clock::Core { ClockId::ProcessCPUTime } else { ClockId::Monotonic });
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// For all of the run.
fn keep<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Something to time.
struct Row {
    name: String,
    bytes: usize,
    /// Calls a round: small work is repeated.
    calls: usize,
    work: Box<dyn FnMut()>,
    times: Vec<Duration>,
}

/// Rows that take turns.
#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    filter: String,
}

impl Table {
    fn add(&mut self, name: impl Into<String>, bytes: usize, work: impl FnMut() + 'static) {
        let name = name.into();
        if name == "memcpy" || name.contains(&self.filter) {
            let calls = (1usize << 20).div_ceil(bytes);
            self.rows.push(Row { name, bytes, calls, work: Box::new(work), times: Vec::new() });
        }
    }

    fn run(&mut self, seconds: f64) {
        self.rows.iter_mut().for_each(|row| (row.work)());
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < seconds || self.rows[0].times.len() < 5 {
            for row in &mut self.rows {
                let clock = if row.name.contains("by the clock") { Clock::Wall } else { Clock::Core };
                let start = clock.now();
                (0..row.calls).for_each(|_| (row.work)());
                row.times.push((clock.now() - start) / row.calls as u32);
            }
        }
    }

    /// MB/s by median and best time, and both as ratios to the first row.
    fn print(&mut self, title: &str) {
        println!("\n| {title} | MB/s | of memcpy | best MB/s | of memcpy |\n|---|---|---|---|---|");
        let mut reference = None;
        for row in &mut self.rows {
            row.times.sort();
            let speed = |time: Duration| row.bytes as f64 / time.as_secs_f64() / 1e6;
            let speeds = [speed(row.times[row.times.len() / 2]), speed(row.times[0])];
            let [median, best] = *reference.get_or_insert(speeds);
            println!(
                "| {} | {:.0} | {:.3} | {:.0} | {:.3} |",
                row.name,
                speeds[0],
                speeds[0] / median,
                speeds[1],
                speeds[1] / best
            );
        }
    }
}

/// A pool whose threads the work within uses.
fn threads(count: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(count).build().expect("threads start")
}

/// Large tensors, self-contained.
fn large(seconds: f64, filter: &str) {
    let map = keep(relu_map(&LARGE));
    let bytes = size_of_val(&map[..]);
    let raw: &Vec<u8> = keep(map.iter().flat_map(|v| v.to_le_bytes()).collect());
    let (one, two) = (keep(threads(1)), keep(threads(2)));
    let view = keep(TensorView::new(map, &LARGE).unwrap());
    let (mut compressing, mut decompressing) = (Table::default(), Table::default());
    (compressing.filter, decompressing.filter) = (filter.into(), filter.into());

    for table in [&mut compressing, &mut decompressing] {
        let mut copy = vec![0.0f32; map.len()];
        table.add("memcpy", bytes, move || copy.copy_from_slice(black_box(map)));
    }

    let lz4 = lz4_flex::block::compress(raw);
    let mut out = vec![0; lz4_flex::block::get_maximum_output_size(raw.len())];
    compressing.add(format!("lz4, {:.2}x", raw.len() as f64 / lz4.len() as f64), bytes, move || {
        lz4_flex::block::compress_into(black_box(raw), &mut out).unwrap();
    });
    let mut back = vec![0; raw.len()];
    decompressing.add("lz4", bytes, move || {
        lz4_flex::block::decompress_into(black_box(&lz4), &mut back).unwrap();
    });
    let zstd = zstd::bulk::compress(raw, 1).unwrap();
    let mut zstd_out = vec![0; zstd::zstd_safe::compress_bound(raw.len())];
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    compressing.add(format!("zstd -1, {:.2}x", raw.len() as f64 / zstd.len() as f64), bytes, move || {
        compressor.compress_to_buffer(black_box(raw), &mut zstd_out[..]).unwrap();
    });
    let mut zstd_back = vec![0; raw.len()];
    let mut decompressor = zstd::bulk::Decompressor::new().unwrap();
    decompressing.add("zstd -1", bytes, move || {
        decompressor.decompress_to_buffer(black_box(&zstd), &mut zstd_back[..]).unwrap();
    });

    // What anyone would write first: eight bits a value, then zstd.
    fn quantize(map: &[f32], out: &mut [u8]) {
        out.iter_mut().zip(map).for_each(|(out, &v)| *out = (v * (1.0 / STEP) + 0.5) as u8);
    }
    let mut u8s = vec![0; map.len()];
    quantize(map, &mut u8s);
    let u8_zstd = zstd::bulk::compress(&u8s, 1).unwrap();
    let mut u8_out = vec![0; zstd::zstd_safe::compress_bound(u8s.len())];
    let mut u8_compressor = zstd::bulk::Compressor::new(1).unwrap();
    let mut u8_in = vec![0; map.len()];
    compressing.add(format!("u8, then zstd -1, {:.2}x", bytes as f64 / u8_zstd.len() as f64), bytes, move || {
        quantize(black_box(map), &mut u8_in);
        u8_compressor.compress_to_buffer(&u8_in, &mut u8_out[..]).unwrap();
    });
    let (mut u8_back, mut u8_floats) = (vec![0u8; map.len()], vec![0.0f32; map.len()]);
    let mut u8_decompressor = zstd::bulk::Decompressor::new().unwrap();
    decompressing.add("u8, then zstd -1", bytes, move || {
        u8_decompressor.decompress_to_buffer(black_box(&u8_zstd), &mut u8_back[..]).unwrap();
        u8_floats.iter_mut().zip(&u8_back).for_each(|(out, &v)| *out = f32::from(v) * STEP);
    });

    let options = keep(DecompressOptions::default());
    let cases = [
        (Wavelet::None, 0, Effort::Fast),
        (Wavelet::Haar, 2, Effort::Fast),
        (Wavelet::LeGall53, 3, Effort::Fast),
        (Wavelet::Cdf97, 3, Effort::Fast),
        (Wavelet::Db2, 3, Effort::Fast),
        (Wavelet::Haar, 2, Effort::Default),
    ];
    let configs: Vec<&Config> = cases
        .iter()
        .map(|&(wavelet, levels, effort)| {
            let config = Config::default().with_wavelet(wavelet, levels).with_target(Target::Step(STEP));
            keep(config.with_effort(effort))
        })
        .collect();
    let streams = configs.iter().map(|config| compress(view, config).unwrap().bytes).collect();
    let streams: &Vec<Vec<u8>> = keep(streams);
    for (i, (wavelet, levels, effort)) in cases.into_iter().enumerate() {
        let bits = 8.0 * streams[i].len() as f64 / map.len() as f64;
        let name = format!("{wavelet} {levels} {effort}");
        let config = configs[i];
        let (mut workspace, mut out) = (Workspace::default(), Vec::new());
        compressing.add(format!("{name}, {bits:.2} bits"), bytes, move || {
            out.clear();
            one.install(|| compress_into(black_box(view), config, &mut workspace, &mut out).unwrap());
        });
        let mut decoded = vec![0.0f32; map.len()];
        decompressing.add(name.clone(), bytes, move || {
            one.install(|| decompress_into(black_box(&streams[i]), &mut (&mut decoded).into(), options).unwrap());
        });
        if (wavelet, effort) == (Wavelet::Haar, Effort::Fast) {
            compressing.add(format!("{name}, new memory"), bytes, move || {
                one.install(|| compress(black_box(view), config).unwrap());
            });
            decompressing.add(format!("{name}, new memory"), bytes, move || {
                one.install(|| decompress(black_box(&streams[i]), options).unwrap());
            });
            for (pool, count) in [(one, 1), (two, 2)] {
                let name = format!("{name}, {count} threads, by the clock");
                let (mut workspace, mut out) = (Workspace::default(), Vec::new());
                compressing.add(name.clone(), bytes, move || {
                    out.clear();
                    pool.install(|| compress_into(black_box(view), config, &mut workspace, &mut out).unwrap());
                });
                let mut decoded = vec![0.0f32; map.len()];
                decompressing.add(name, bytes, move || {
                    let stream = black_box(&streams[i]);
                    pool.install(|| decompress_into(stream, &mut (&mut decoded).into(), options).unwrap());
                });
            }
        }
    }
    compressing.run(seconds);
    compressing.print("compress");
    decompressing.run(seconds);
    decompressing.print("decompress");
}

/// A codec for maps of a shape, calibrated on this one.
fn tap_codec(map: &[f32], shape: [usize; 3], effort: Effort) -> TapCodec {
    let coding = Coding::new(Wavelet::Haar, if shape[1] < 100 { 3 } else { 2 }, Steps::Uniform(STEP));
    let mut calibrator = TapCalibrator::new("tap", shape, coding.with_nonnegative(true)).unwrap();
    let observe = |calibrator: &mut TapCalibrator| {
        calibrator.observe(map, &mut Scratch::default(), &mut vec![0.0; map.len()]).unwrap();
    };
    observe(&mut calibrator);
    calibrator.fit();
    observe(&mut calibrator);
    TapCodec::new(&calibrator.finish()).unwrap().with_effort(effort)
}

/// Packets of batch-1 maps against a profile, and the entropy coder alone, whose bytes are symbols.
fn packets(seconds: f64, filter: &str) {
    let maps = keep(MAPS.map(|shape| (shape, relu_map(&shape))));
    let (mut table, mut symbols) = (Table::default(), Table::default());
    (table.filter, symbols.filter) = (filter.into(), filter.into());
    let large = &maps[3].1;
    for table in [&mut table, &mut symbols] {
        let mut copy = vec![0.0f32; large.len()];
        table.add("memcpy", size_of_val(&large[..]), move || copy.copy_from_slice(black_box(large)));
    }
    for (shape, map) in maps {
        let bytes = size_of_val(&map[..]);
        for effort in [Effort::Fast, Effort::Default] {
            let codec = tap_codec(map, *shape, effort);
            let name = format!("{}x{}x{} {effort}", shape[0], shape[1], shape[2]);
            let (mut scratch, mut packet) = (Scratch::default(), Vec::new());
            codec.compress(map, &mut scratch, &mut packet).unwrap();
            let stored = packet.clone();
            let (encoder, decoder) = (codec.clone(), codec.clone());
            table.add(format!("{name}, compress"), bytes, move || {
                packet.clear();
                encoder.compress(black_box(map), &mut scratch, &mut packet).unwrap();
            });
            let (mut scratch, mut decoded, received) = (Scratch::default(), vec![0.0; map.len()], stored.clone());
            table.add(format!("{name}, decompress"), bytes, move || {
                decoder.decompress(black_box(&received), &mut scratch, &mut decoded).unwrap();
            });
            if effort == Effort::Fast {
                let (mut scratch, mut out) = (Scratch::default(), Vec::new());
                codec.compress(map, &mut scratch, &mut out).unwrap();
                let (encoder, decoder) = (codec.clone(), codec);
                symbols.add(format!("{name}, encode"), map.len(), move || {
                    out.clear();
                    encoder.entropy_stage(black_box(&mut scratch), None, &mut out).unwrap();
                });
                let (mut scratch, mut none) = (Scratch::default(), Vec::new());
                symbols.add(format!("{name}, decode"), map.len(), move || {
                    decoder.entropy_stage(&mut scratch, Some(black_box(&stored)), &mut none).unwrap();
                });
            }
        }
    }
    table.run(seconds);
    table.print("packets against a profile");
    symbols.run(seconds);
    symbols.print("the entropy coder alone, MB/s of symbols");
}

/// Batch-1 maps as self-contained streams, with tables chosen for each, in memory used again.
fn small_streams(seconds: f64, filter: &str) {
    let mut table = Table { filter: filter.into(), ..Table::default() };
    let (one, options) = (keep(threads(1)), keep(DecompressOptions::default()));
    let large = keep(relu_map(&MAPS[3]));
    let mut copy = vec![0.0f32; large.len()];
    table.add("memcpy", size_of_val(&large[..]), move || copy.copy_from_slice(black_box(large)));
    for shape in &MAPS {
        let map = keep(relu_map(shape));
        let (view, bytes) = (keep(TensorView::new(map, shape).unwrap()), size_of_val(&map[..]));
        for effort in [Effort::Fast, Effort::Default] {
            let levels = if shape[1] < 100 { 3 } else { 2 };
            let config = Config::default().with_wavelet(Wavelet::Haar, levels).with_target(Target::Step(STEP));
            let config = keep(config.with_effort(effort));
            let stream = keep(compress(view, config).unwrap().bytes);
            let name = format!("{}x{}x{} {effort}", shape[0], shape[1], shape[2]);
            let (mut workspace, mut out) = (Workspace::default(), Vec::new());
            table.add(format!("{name}, compress, {:.2}x", bytes as f64 / stream.len() as f64), bytes, move || {
                out.clear();
                one.install(|| compress_into(black_box(view), config, &mut workspace, &mut out).unwrap());
            });
            let mut decoded = vec![0.0f32; map.len()];
            table.add(format!("{name}, decompress"), bytes, move || {
                one.install(|| decompress_into(black_box(stream), &mut (&mut decoded).into(), options).unwrap());
            });
        }
    }
    table.run(seconds);
    table.print("self-contained streams");
}

/// Floats without loss: the same map with mantissas of their own for all values.
fn lossless(seconds: f64, filter: &str) {
    let mut state = 7u32;
    let mut map = relu_map(&MAPS[3]);
    for value in &mut map {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value *= 1.0 + (state >> 8) as f32 / (1u32 << 26) as f32;
    }
    let map = keep(map);
    let view = keep(TensorView::new(map, &MAPS[3]).unwrap());
    let config = Config::default().with_target(Target::Lossless);
    let stream = compress(view, &config).unwrap().bytes;
    let (one, options) = (keep(threads(1)), DecompressOptions::default());
    let bytes = size_of_val(&map[..]);
    let mut table = Table { filter: filter.into(), ..Table::default() };
    let mut copy = vec![0.0f32; map.len()];
    table.add("memcpy", bytes, move || copy.copy_from_slice(black_box(map)));
    table.add("compress", bytes, move || {
        one.install(|| compress(black_box(view), &config).unwrap());
    });
    table.add("decompress", bytes, move || {
        one.install(|| decompress(black_box(&stream), &options).unwrap());
    });
    table.run(seconds);
    table.print("floats without loss");
}

fn main() {
    // Cargo says `--bench` to all.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let seconds = arguments.first().map_or(10.0, |text| text.parse().expect("seconds"));
    let filter = arguments.get(1).map_or("", String::as_str);
    large(seconds, filter);
    packets(seconds, filter);
    small_streams(seconds, filter);
    lossless(seconds / 2.0, filter);
}
