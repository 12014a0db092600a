//! The output is that of the codec, bit for bit.

use proptest::prelude::*;
use subband::{ChannelMask, Config, DecompressOptions, Steps, Target, TensorData, TensorView, Wavelet};
use subband_kernels::Isa;

use crate::{Case, bits};

/// The codec's output. Whether values can be negative it sees for itself.
fn coded(case: &Case) -> Vec<f32> {
    let [_, channels, ..] = case.sizes;
    let subbands = case.subbands();
    let steps = if case.steps.len() == subbands {
        Steps::PerSubband(case.steps.clone())
    } else {
        Steps::PerChannel(case.steps.chunks(subbands).map(<[f32]>::to_vec).collect())
    };
    let mut mask = ChannelMask::keep_all(channels, case.levels).unwrap();
    for (i, _) in case.kept.iter().enumerate().filter(|(_, kept)| **kept == 0.0) {
        mask = mask.drop(i / subbands, i % subbands);
    }
    let config = Config::default()
        .with_wavelet(case.wavelet, case.levels)
        .with_target(Target::Steps(steps))
        .with_rounding(case.rounding)
        .with_reconstruction(case.reconstruction)
        .with_mask(mask);
    let stream = subband::compress(&TensorView::new(&case.x[..], &case.sizes).unwrap(), &config).unwrap();
    match subband::decompress(&stream.bytes, &DecompressOptions::default()).unwrap().into_data() {
        TensorData::F32(y) => y,
        other => panic!("{other:?}"),
    }
}

fn check(case: &Case) {
    let case = &Case { nonnegative: case.x.iter().all(|x| *x >= 0.0), ..case.clone() };
    let want = bits(&coded(case));
    for isa in Isa::all() {
        let mut y = vec![f32::NAN; case.x.len()];
        case.layer().forward(isa, &case.x, &mut y);
        let different = bits(&y).iter().zip(&want).position(|(a, b)| a != b);
        let values = different.map(|i| (i, y[i], f32::from_bits(want[i])));
        assert!(values.is_none(), "{isa}: {:?} {} {}, {values:?}", case.sizes, case.wavelet, case.levels);
    }
}

#[test]
fn network_shapes() {
    for wavelet in Wavelet::ALL {
        for sizes in [[3, 16, 32, 32], [2, 32, 16, 16], [2, 64, 8, 8], [1, 3, 56, 56], [1, 5, 112, 20], [1, 7, 7, 7]] {
            let case = Case::new(sizes, wavelet, 3, 1);
            check(&case);
            let signed = case.x.iter().map(|x| x - 0.9).collect();
            check(&Case { x: signed, rounding: 0.2, reconstruction: 0.15, ..case.per_channel().masked() });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_shape(
        sizes in [1usize..4, 1usize..20, 1usize..20, 1usize..20], which in 0usize..5, levels in 0u8..=8,
        relu: bool, per_channel: bool, rounding in 0f32..0.5, shift in 0f32..0.5, seed in any::<u16>(),
    ) {
        let mut case = Case::new(sizes, Wavelet::ALL[which], levels, u64::from(seed)).masked();
        if per_channel {
            case = case.per_channel();
        }
        if !relu {
            case.x = crate::uniform(case.x.len(), u64::from(seed)).iter().map(|x| x * 20.0).collect();
        }
        check(&Case { rounding, reconstruction: shift, ..case });
    }
}
