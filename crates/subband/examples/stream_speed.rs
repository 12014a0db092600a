//! Seconds that whole streams take through the Rust API, for bench/python/speed.py to compare with: one line a round,
//! compress and decompress.
//!
//!     stream_speed RAW_F32 C H W STEP EFFORT ROUNDS

use std::time::Instant;

use subband::{Config, DecompressOptions, Effort, Target, TensorView, compress, decompress};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, c, h, w, step, effort, rounds] = &arguments[..] else {
        return Err("RAW_F32 C H W STEP EFFORT ROUNDS are wanted".into());
    };
    let values: Vec<f32> =
        std::fs::read(path)?.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect();
    let shape = [c.parse()?, h.parse()?, w.parse()?];
    let view = TensorView::new(&values, &shape)?;
    let config = Config::default().with_target(Target::Step(step.parse()?)).with_effort(effort.parse::<Effort>()?);
    for _ in 0..rounds.parse::<usize>()? {
        let start = Instant::now();
        let bytes = compress(&view, &config)?.bytes;
        let compressed = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let decoded = decompress(&bytes, &DecompressOptions::default())?;
        println!("{compressed} {} {}", start.elapsed().as_secs_f64(), bytes.len());
        drop(decoded);
    }
    Ok(())
}
