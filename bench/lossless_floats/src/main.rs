//! Lossless coders of floats on the same maps: `lossless_floats [--quick] [--as f32|f16|bf16] FILE.npy...`, one thread.
//!
//! A row a file and coder: ratio, MB/s each way (fastest of several runs), every round trip compared bit for bit;
//! then the ratio of all files together and the harmonic mean of the speeds, by coder.

use std::hint::black_box;
use std::time::Instant;

use half::{bf16, f16};
use subband::{Config, DecompressOptions, Target, Tensor, TensorData, compress, decompress};

struct Map {
    name: String,
    tensor: Tensor,
    bytes: Vec<u8>,
}

fn read_npy(path: &str, dtype: &str) -> Map {
    let file = std::fs::read(path).expect("the file is there");
    let header_end = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
    let header = std::str::from_utf8(&file[10..header_end]).expect("the header is text");
    assert!(header.contains("'<f4'") && header.contains("False"), "{path} is not a C-ordered array of f32");
    let shape = header.split('(').nth(1).and_then(|rest| rest.split(')').next()).expect("there is a shape");
    let shape: Vec<usize> = shape.split(',').filter_map(|size| size.trim().parse().ok()).collect();
    let values = file[header_end..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let data: TensorData = match dtype {
        "f16" => values.map(f16::from_f32).collect::<Vec<_>>().into(),
        "bf16" => values.map(bf16::from_f32).collect::<Vec<_>>().into(),
        _ => values.collect::<Vec<_>>().into(),
    };
    let tensor = Tensor::new(data, &shape).expect("the header tells the truth");
    Map { name: path.to_owned(), bytes: bytes_of(&tensor), tensor }
}

fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    match tensor.data() {
        TensorData::F32(x) => x.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::F16(x) => x.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::Bf16(x) => x.iter().flat_map(|v| v.to_le_bytes()).collect(),
        _ => unreachable!("maps are floats"),
    }
}

/// Fastest of the runs that fit a tenth of a second, two at least.
fn seconds<T>(mut run: impl FnMut() -> T) -> (f64, T) {
    let (start, mut best) = (Instant::now(), f64::MAX);
    let mut runs = 0;
    loop {
        let one = Instant::now();
        let result = black_box(run());
        best = best.min(one.elapsed().as_secs_f64());
        runs += 1;
        if runs >= 2 && (start.elapsed().as_secs_f64() > 0.1 || runs == 50) {
            return (best, result);
        }
    }
}

/// Encodes and decodes with one coder; compressed bytes, seconds each way.
fn measure(coder: &str, map: &Map) -> Option<(usize, f64, f64)> {
    let level = |prefix: &str| coder.strip_prefix(prefix).and_then(|level| level.trim().parse::<usize>().ok());
    if coder == "subband" {
        let config = Config::default().with_target(Target::Lossless);
        let (encode, stream) = seconds(|| compress(&map.tensor.view(), &config).unwrap().bytes);
        let (decode, decoded) = seconds(|| decompress(&stream, &DecompressOptions::default()).unwrap());
        assert_eq!(bytes_of(&decoded), map.bytes, "{coder}: {}", map.name);
        return Some((stream.len(), encode, decode));
    }
    if let Some(level) = level("pco") {
        let config = pco::ChunkConfig::default().with_compression_level(level);
        macro_rules! run {
            ($values:expr, $type:ty) => {{
                let (encode, packed) = seconds(|| pco::standalone::simple_compress::<$type>($values, &config).unwrap());
                let (decode, decoded) = seconds(|| pco::standalone::simple_decompress::<$type>(&packed).unwrap());
                assert!(decoded.iter().zip($values).all(|(a, b)| a.to_le_bytes() == b.to_le_bytes()));
                Some((packed.len(), encode, decode))
            }};
        }
        return match map.tensor.data() {
            TensorData::F32(x) => run!(x, f32),
            TensorData::F16(x) => run!(x, f16),
            // pco knows no bf16: its bits, which order the same values.
            TensorData::Bf16(x) => {
                let bits: Vec<u16> = x.iter().map(|v| v.to_bits()).collect();
                run!(&bits, u16)
            }
            _ => None,
        };
    }
    if let Some(level) = level("zstd") {
        let (encode, packed) = seconds(|| zstd::bulk::compress(&map.bytes, level as i32).unwrap());
        let (decode, decoded) = seconds(|| zstd::bulk::decompress(&packed, map.bytes.len()).unwrap());
        assert_eq!(decoded, map.bytes);
        return Some((packed.len(), encode, decode));
    }
    if coder == "lz4" {
        let (encode, packed) = seconds(|| lz4_flex::compress(&map.bytes));
        let (decode, decoded) = seconds(|| lz4_flex::decompress(&packed, map.bytes.len()).unwrap());
        assert_eq!(decoded, map.bytes);
        return Some((packed.len(), encode, decode));
    }
    let mut copy = vec![0u8; map.bytes.len()];
    let (copying, ()) = seconds(|| copy.copy_from_slice(black_box(&map.bytes)));
    Some((map.bytes.len(), copying, copying))
}

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the pool is built once");
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut take = |flag: &str| arguments.iter().position(|a| a == flag).map(|at| arguments.remove(at)).is_some();
    let quick = take("--quick");
    let dtype = arguments
        .iter()
        .position(|a| a == "--as")
        .map(|at| arguments.drain(at..at + 2).nth(1).expect("a dtype follows"));
    let maps: Vec<Map> = arguments.iter().map(|path| read_npy(path, dtype.as_deref().unwrap_or("f32"))).collect();
    let coders: &[&str] = if quick {
        &["memcpy", "subband"]
    } else {
        &["memcpy", "subband", "pco 8", "pco 12", "zstd 1", "zstd 19", "lz4"]
    };
    let mut totals = vec![[0.0f64; 4]; coders.len()];
    for map in &maps {
        for (coder, total) in coders.iter().zip(&mut totals) {
            let Some((size, encode, decode)) = measure(coder, map) else { continue };
            let full = map.bytes.len() as f64;
            println!(
                "{:32} {coder:8} {:7.4} {:7.0} {:7.0}",
                map.name,
                full / size as f64,
                full / encode / 1e6,
                full / decode / 1e6
            );
            [full, size as f64, encode, decode].iter().zip(total).for_each(|(add, sum)| *sum += add);
        }
    }
    println!("\n{:32} {:8} {:>7} {:>7} {:>7}", "all", "coder", "ratio", "comp", "decomp");
    for (coder, [full, size, encode, decode]) in coders.iter().zip(totals) {
        println!("{:32} {coder:8} {:7.4} {:7.0} {:7.0}", "", full / size, full / encode / 1e6, full / decode / 1e6);
    }
}
