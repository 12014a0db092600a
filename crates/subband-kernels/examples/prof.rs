use subband_kernels::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (c, k, w, st): (usize, usize, usize, usize) = (a[2].parse().unwrap(), a[3].parse().unwrap(), a[4].parse().unwrap(), a[5].parse().unwrap());
    let kern: usize = a[6].parse().unwrap();
    let isa = Isa::all().find(|i| i.name() == a[7]).unwrap();
    let shape = ConvShape { batch: a.get(8).map_or(16, |b| b.parse().unwrap()), in_channels: c, out_channels: k, height: w, width: w, kernel: kern, stride: st, padding: kern / 2 };
    let x = vec![0.5; shape.input_len()];
    let wt = vec![0.5; shape.weight_len()];
    let mut y = vec![0.5; shape.output_len()];
    let mut dx = x.clone();
    let mut dw = wt.clone();
    let mut best = f64::MAX;
    for _ in 0..a.get(9).map_or(1500, |b| b.parse().unwrap()) {
        let t = std::time::Instant::now();
        match a[1].as_str() {
            "f" => conv2d(isa, &shape, &x, &wt, Epilogue::default(), &mut y),
            "i" => conv2d_input_gradient(isa, &shape, &y, &wt, &mut dx),
            _ => conv2d_weight_gradient(isa, &shape, &x, &y, &mut dw),
        }
        best = best.min(t.elapsed().as_secs_f64());
    }
    println!("{:.3} ms {:.1} GFLOP/s", best * 1e3, shape.flops() / best * 1e-9);
}
