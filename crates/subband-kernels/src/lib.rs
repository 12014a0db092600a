//! CPU kernels for training and running residual networks in f32: convolution, batch normalisation and the wavelet
//! codec as a layer, each with its gradients, on plain slices.
//!
//! There is no tensor type here and no framework. Every tensor is a contiguous slice in the order
//! `[batch, channels, height, width]`, results are written into slices of the caller (or, by the functions that end in
//! `_owned`, into new vectors that are not zeroed first), and lengths are checked.
//!
//! | operation | call | reads | writes |
//! |---|---|---|---|
//! | convolution | [`conv2d`] | `x`, `w`, optionally bias and residual | `y` |
//! | its input gradient | [`conv2d_input_gradient`] | `dy`, `w` | `dx` |
//! | its weight gradient | [`conv2d_weight_gradient`] | `x`, `dy` | `dw` |
//! | batch normalisation, training | [`BatchNorm::forward`] | `x`, optionally residual | `y`, returns [`BatchStats`] |
//! | its gradients | [`BatchNorm::backward`] | `x`, `dy`, the statistics, optionally `y` | [`BatchNormGradients`] |
//! | batch normalisation, inference | [`BatchNorm::inference`], or [`BatchNorm::fold`] into `w` and a bias | | |
//! | the codec, forth and back | [`WaveletQuantize::forward`] | `x` | `y`, returns mean magnitudes |
//! | its gradients | [`WaveletQuantize::backward`] | `x`, `y`, `dy` | [`WaveletQuantizeGradients`] |
//!
//! with, for a [`ConvShape`], `x: [batch, in_channels, height, width]`, `w: [out_channels, in_channels, kernel,
//! kernel]`, `y: [batch, out_channels, out_height, out_width]`, for a [`BatchNorm`], `x` and `y: [batch, channels,
//! plane]`, and for a [`WaveletQuantize`], `x` and `y: [batch, channels, height, width]`. A gradient has the shape of
//! what it is the gradient of. Adding a residual and clipping at zero (ReLU) are fused into the operation before them.
//!
//! ```
//! use subband_kernels::{BatchNorm, BatchNormGradients, Clipped, ConvShape, Epilogue, Isa};
//! use subband_kernels::{conv2d, conv2d_input_gradient, conv2d_weight_gradient};
//!
//! // Convolution, normalisation and ReLU of 2 images of 3 channels and 8 x 8 pixels, forward ...
//! let shape = ConvShape {
//!     batch: 2, in_channels: 3, out_channels: 4, height: 8, width: 8, kernel: 3, stride: 2, padding: 1,
//! };
//! let isa = Isa::best();
//! let x: Vec<f32> = (0..shape.input_len()).map(|i| (i % 7) as f32).collect();
//! let w: Vec<f32> = (0..shape.weight_len()).map(|i| (i % 5) as f32 - 2.0).collect();
//! let mut conv = vec![0.0; shape.output_len()];
//! conv2d(isa, &shape, &x, &w, Epilogue::default(), &mut conv);
//!
//! let plane = shape.out_height() * shape.out_width();
//! let (gamma, beta) = ([1.0; 4], [0.0; 4]);
//! let norm = BatchNorm { batch: 2, channels: 4, plane, gamma: &gamma, beta: &beta, epsilon: 1e-5 };
//! let mut y = vec![0.0; conv.len()];
//! let stats = norm.forward(isa, &conv, None, true, &mut y);
//!
//! // ... and back, from the gradient of y.
//! let dy = vec![1.0; y.len()];
//! let (mut dconv, mut dgamma, mut dbeta) = (vec![0.0; y.len()], [0.0; 4], [0.0; 4]);
//! let to = BatchNormGradients { dx: &mut dconv, dresidual: None, dgamma: &mut dgamma, dbeta: &mut dbeta };
//! norm.backward(isa, &conv, &stats, Clipped::WithoutResidual, &dy, to);
//! let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
//! conv2d_input_gradient(isa, &shape, &dconv, &w, &mut dx);
//! conv2d_weight_gradient(isa, &shape, &x, &dconv, &mut dw);
//!
//! // beta receives a 1 for each output that was not clipped.
//! assert_eq!(dbeta.iter().sum::<f32>(), y.iter().filter(|y| **y > 0.0).count() as f32);
//! ```
//!
//! # Instruction sets
//! [`Isa::best`] is the fastest of AVX-512, AVX2 with FMA, and portable code that this CPU has; the others can be
//! asked for by name. An [`Isa`] exists only where the CPU has the instructions, so passing one is always sound.
//! Results differ between instruction sets by rounding, within 1e-5 of the largest value of a tensor (tested). Those of
//! [`WaveletQuantize`] do not differ at all: its output has the bits of the codec's.
//!
//! # Threads
//! Work is spread over the current rayon pool. For a given shape and instruction set the results are the same bits on
//! any number of threads: every sum is either one task's, or of partial sums that the shape alone decides and that
//! are added in a fixed order.
//!
//! # Memory
//! Nothing the size of a tensor is allocated but the results of the `_owned` functions. Packed weights, padded copies of an image or a few, and partial weight
//! gradients live in buffers that each thread keeps until it ends: a few megabytes for ResNet-20, some tens
//! for ResNet-18, whose widest layers have 9 MB of weights, and 17 MB in Winograd's form.
//!
//! # Reading the source
//! `wavelet_quantize` is held against the codec and dense matrices in the tests, not against [`mod@reference`].
//! `simd` has the vectors and the note on inlining that all kernels depend on; `conv` says how the
//! convolutions are arranged; [`mod@reference`] states every operation in a few lines.

mod batch_norm;
mod conv;
mod isa;
mod owned;
mod planes;
pub mod reference;
mod scratch;
mod simd;
mod wavelet_quantize;

pub use batch_norm::{BatchNorm, BatchNormGradients, BatchStats, Clipped};
pub use conv::{ConvShape, Epilogue, conv2d, conv2d_input_gradient, conv2d_weight_gradient, plain};
pub use isa::Isa;
pub use owned::{
    OwnedBatchNormGradients, OwnedWaveletQuantizeGradients, conv2d_input_gradient_owned, conv2d_owned,
    conv2d_weight_gradient_owned,
};
pub use wavelet_quantize::{WaveletQuantize, WaveletQuantizeGradients, subband_sizes};
