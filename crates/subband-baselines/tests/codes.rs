//! Every code: what goes in comes out, and no bytes make a decoder panic.

use proptest::prelude::*;
use subband_baselines::{Code, ErrorKind, Layout, Width};

/// Maps as they come: mostly zeros and small values, a few of any size.
fn index(width: Width) -> impl Strategy<Value = i16> {
    let (least, most) = match width {
        Width::Eight => (-128, 127),
        Width::Sixteen => (i16::MIN, i16::MAX),
    };
    prop_oneof![8 => Just(0), 4 => -3i16..=3, 1 => Just(least), 1 => Just(most), 2 => least..=most]
}

fn map() -> impl Strategy<Value = (Vec<i16>, Layout)> {
    (prop_oneof![Just(Width::Eight), Just(Width::Sixteen)], 0usize..20, 0usize..40).prop_flat_map(
        |(width, rows, columns)| {
            (prop::collection::vec(index(width), rows * columns), Just(Layout { width, rows, columns }))
        },
    )
}

proptest! {
    #[test]
    fn round_trip((indices, layout) in map()) {
        for code in Code::ALL {
            let bytes = code.encode(&indices, layout).unwrap();
            let decoded = code.decode(&bytes, layout);
            prop_assert_eq!(decoded.as_ref(), Ok(&indices), "{}", code.name());
        }
    }

    #[test]
    fn any_bytes_decode_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), (_, layout) in map()) {
        for code in Code::ALL {
            if let Ok(indices) = code.decode(&bytes, layout) {
                // What decodes is a map of that layout.
                prop_assert!(code.encode(&indices, layout).is_ok());
            }
        }
    }
}

fn layouts() -> Vec<(Vec<i16>, Layout)> {
    let make = |width, rows, columns, value: fn(usize) -> i16| {
        ((0..rows * columns).map(value).collect(), Layout { width, rows, columns })
    };
    vec![
        make(Width::Eight, 0, 0, |_| 0),
        make(Width::Eight, 5, 0, |_| 0),
        make(Width::Sixteen, 1, 1, |_| i16::MIN),
        make(Width::Eight, 7, 33, |_| 0),
        make(Width::Eight, 7, 33, |_| -128),
        make(Width::Sixteen, 3, 65, |i| if i % 2 == 0 { i16::MIN } else { i16::MAX }),
        make(Width::Eight, 16, 31, |i| if i * i % 7 == 1 { (i % 11) as i16 - 5 } else { 0 }),
        make(Width::Sixteen, 4, 129, |i| if i % 3 == 0 { (i * 97 % 4001) as i16 - 2000 } else { 0 }),
    ]
}

#[test]
fn extremes_come_back() {
    for (indices, layout) in layouts() {
        for code in Code::ALL {
            let bytes = code.encode(&indices, layout).unwrap();
            assert_eq!(code.decode(&bytes, layout).unwrap(), indices, "{} {layout:?}", code.name());
        }
    }
}

#[test]
fn truncation_is_an_error() {
    for (indices, layout) in layouts() {
        for code in Code::ALL {
            let bytes = code.encode(&indices, layout).unwrap();
            for length in 0..bytes.len() {
                // Zero run-length has no end of its own: what is cut off may read as zeros.
                if let Ok(decoded) = code.decode(&bytes[..length], layout) {
                    assert!(code == Code::Zrle && decoded != indices, "{} at {length}", code.name());
                }
            }
            let longer = [bytes.as_slice(), &[0; 9]].concat();
            assert!(code.decode(&longer, layout).is_err(), "{}", code.name());
        }
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_another_map() {
    for (indices, layout) in layouts() {
        for code in Code::ALL {
            let mut bytes = code.encode(&indices, layout).unwrap();
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                match code.decode(&bytes, layout) {
                    Ok(decoded) => assert_eq!(decoded.len(), indices.len()),
                    Err(error) => assert_ne!(error.kind(), ErrorKind::InvalidArgument, "{error}"),
                }
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}

#[test]
fn wrong_arguments_are_named() {
    let layout = Layout { width: Width::Eight, rows: 2, columns: 2 };
    let error = Code::Zvc.encode(&[0; 3], layout).unwrap_err();
    assert_eq!(error.to_string(), "3 indices were given: 2 rows of 2 have 4");
    let error = Code::Bpc.encode(&[0, 0, 128, 0], layout).unwrap_err();
    assert_eq!(error.to_string(), "index 128 was given: allowed are -128 to 127 at 8 bits");
    let absurd = Layout { rows: usize::MAX, ..layout };
    assert_eq!(Code::Csc.decode(&[], absurd).unwrap_err().kind(), ErrorKind::InvalidArgument);
}
