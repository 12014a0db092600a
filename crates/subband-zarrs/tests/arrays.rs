//! Arrays by `zarrs` alone, and arrays that the Python package wrote.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use subband_zarrs::{StepConfiguration, SubbandCodec, SubbandConfiguration};
use zarrs::array::{
    Array, ArrayBuilder, ArrayBytes, ArraySubset, CodecMetadataOptions, CodecTraits, DataType, FillValue, data_type,
};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::store::MemoryStore;
use zarrs::storage::{ReadableStorageTraits, StoreKey, WritableStorageTraits};

type Tested = Result<(), Box<dyn Error>>;

const SHAPE: [u64; 4] = [6, 4, 5, 7];
const CHUNKS: [u64; 4] = [4, 4, 5, 7];

fn lossless() -> SubbandConfiguration {
    SubbandConfiguration { lossless: Some(true), ..Default::default() }
}

fn create(configuration: SubbandConfiguration) -> Result<(Arc<MemoryStore>, Array<MemoryStore>), Box<dyn Error>> {
    let store = Arc::new(MemoryStore::new());
    let array = ArrayBuilder::new(SHAPE.to_vec(), CHUNKS.to_vec(), data_type::float32(), -1.0f32)
        .array_to_bytes_codec(Arc::new(SubbandCodec::new(configuration)?))
        .build(store.clone(), "/")?;
    array.store_metadata()?;
    Ok((store, array))
}

fn values(count: u64) -> Vec<f32> {
    (0..count).map(|at| ((at * at) % 97) as f32 / 8.0 - 3.0).collect()
}

fn all() -> Vec<f32> {
    values(SHAPE.iter().product())
}

/// The values of a box, picked one by one.
fn picked(values: &[f32], shape: &[u64], subset: &ArraySubset) -> Vec<f32> {
    let at = |index: &[u64]| index.iter().zip(shape).fold(0, |at, (index, size)| at * size + index) as usize;
    subset.indices().iter().map(|index| values[at(&index)]).collect()
}

#[test]
fn arrays_come_back() -> Tested {
    let (store, array) = create(SubbandConfiguration { max_error: Some(0.02), ..Default::default() })?;
    array.store_array_subset(&array.subset_all(), all())?;
    // Opened by its metadata alone.
    let again = Array::open(store.clone(), "/")?;
    let decoded: Vec<f32> = again.retrieve_array_subset(&again.subset_all())?;
    assert!(decoded.iter().zip(all()).all(|(decoded, x)| (decoded - x).abs() <= 0.02));
    // A chunk is a stream.
    let stream = store.get(&StoreKey::new("c/0/0/0/0")?)?.expect("the chunk was written");
    let tensor = subband::decompress(&stream, &Default::default())?;
    assert_eq!(tensor.shape(), [4, 4, 5, 7]);
    assert_eq!(tensor.data(), &decoded[..4 * 4 * 5 * 7].to_vec().into());
    Ok(())
}

#[test]
fn every_data_type() -> Tested {
    let types: [(DataType, FillValue, usize); 7] = [
        (data_type::float32(), 0.0f32.into(), 4),
        (data_type::float16(), half::f16::ZERO.into(), 2),
        (data_type::bfloat16(), half::bf16::ZERO.into(), 2),
        (data_type::uint8(), 0u8.into(), 1),
        (data_type::int8(), 0i8.into(), 1),
        (data_type::uint16(), 0u16.into(), 2),
        (data_type::int16(), 0i16.into(), 2),
    ];
    for (data_type, fill_value, size) in types {
        let store = Arc::new(MemoryStore::new());
        let array = ArrayBuilder::new(SHAPE.to_vec(), CHUNKS.to_vec(), data_type.clone(), fill_value)
            .array_to_bytes_codec(Arc::new(SubbandCodec::new(lossless())?))
            .build(store.clone(), "/")?;
        let count = SHAPE.iter().product::<u64>() as usize * size;
        let bytes: Vec<u8> = (0..count).map(|at| (at * 29 % 251) as u8).collect();
        array.store_array_subset(&array.subset_all(), ArrayBytes::new_flen(bytes.clone()))?;
        let decoded: ArrayBytes = array.retrieve_array_subset(&array.subset_all())?;
        assert!(decoded.into_fixed()?[..] == bytes, "{data_type:?}");
    }
    Ok(())
}

#[test]
fn parts_of_arrays() -> Tested {
    let (_, array) = create(SubbandConfiguration { channels_per_chunk: Some(1), ..lossless() })?;
    array.store_array_subset(&array.subset_all(), all())?;
    let boxes = [
        [0..6, 0..4, 0..5, 0..7],
        [3..5, 1..3, 0..5, 0..7],
        [2..3, 3..4, 2..4, 6..7],
        [0..6, 2..3, 4..5, 0..7],
        [5..5, 0..4, 0..5, 0..7],
    ];
    for ranges in boxes {
        let subset = ArraySubset::new_with_ranges(&ranges);
        let decoded: Vec<f32> = array.retrieve_array_subset(&subset)?;
        assert_eq!(decoded, picked(&all(), &SHAPE, &subset), "{ranges:?}");
    }
    // Written in part: what was there is read, changed and written anew.
    let subset = ArraySubset::new_with_ranges(&[1..5, 0..2, 1..3, 0..7]);
    array.store_array_subset(&subset, vec![9.0f32; 4 * 2 * 2 * 7])?;
    let decoded: Vec<f32> = array.retrieve_array_subset(&ArraySubset::new_with_ranges(&[1..2, 1..3, 2..3, 0..2]))?;
    let kept = picked(&all(), &SHAPE, &ArraySubset::new_with_ranges(&[1..2, 2..3, 2..3, 0..2]));
    assert_eq!(decoded, [9.0, 9.0, kept[0], kept[1]]);
    Ok(())
}

#[test]
fn parts_decode_only_what_they_need() -> Tested {
    let (store, array) = create(SubbandConfiguration { channels_per_chunk: Some(1), ..lossless() })?;
    array.store_array_subset(&array.subset_all(), all())?;
    // The last channel of the last image of the first chunk is broken.
    let key = StoreKey::new("c/0/0/0/0")?;
    let mut stream = store.get(&key)?.expect("the chunk was written").to_vec();
    let at = stream.len() - 4;
    stream[at] ^= 1;
    store.set(&key, stream.into())?;
    let whole: [&[std::ops::Range<u64>; 4]; 2] = [&[0..3, 0..4, 0..5, 0..7], &[3..4, 0..3, 0..5, 0..7]];
    for ranges in whole {
        let subset = ArraySubset::new_with_ranges(ranges);
        let decoded: Vec<f32> = array.retrieve_array_subset(&subset)?;
        assert_eq!(decoded, picked(&all(), &SHAPE, &subset));
    }
    let broken = array.retrieve_array_subset::<Vec<f32>>(&ArraySubset::new_with_ranges(&[3..4, 3..4, 0..1, 0..1]));
    assert!(broken.is_err_and(|error| error.to_string().contains("checksum")));
    Ok(())
}

#[test]
fn other_ranks_and_chunks_never_written() -> Tested {
    for shape in [vec![6, 7], vec![5, 6, 7], vec![3, 2, 5, 6, 7]] {
        let store = Arc::new(MemoryStore::new());
        let array = ArrayBuilder::new(shape.clone(), shape.clone(), data_type::float32(), -1.0f32)
            .array_to_bytes_codec(Arc::new(SubbandCodec::new(lossless())?))
            .build(store, "/")?;
        let ranges: Vec<_> = shape.iter().map(|&size| 1..size).collect();
        let part = ArraySubset::new_with_ranges(&ranges);
        let filled: Vec<f32> = array.retrieve_array_subset(&part)?;
        assert!(filled.len() as u64 == part.num_elements() && filled.iter().all(|&x| x == -1.0));
        let x = values(shape.iter().product());
        array.store_array_subset(&array.subset_all(), x.clone())?;
        let decoded: Vec<f32> = array.retrieve_array_subset(&part)?;
        assert_eq!(decoded, picked(&x, &shape, &part), "{shape:?}");
    }
    Ok(())
}

/// The message of a configuration that is refused.
fn refused(json: &str) -> String {
    let configuration = serde_json::from_str::<SubbandConfiguration>(json).map_err(|error| error.to_string());
    let codec = configuration.and_then(|found| SubbandCodec::new(found).map_err(|error| error.to_string()));
    codec.expect_err("must be refused")
}

#[test]
fn what_is_refused() -> Tested {
    assert!(refused("{}").contains("targets given: none"));
    assert!(refused(r#"{"step": 1, "bits": 2}"#).contains("targets given: step and bits"));
    assert!(refused(r#"{"step": -1}"#).contains("step is -1"));
    assert!(refused(r#"{"step": 1, "levels": 9}"#).contains("levels is 9"));
    assert!(refused(r#"{"step": 1, "nan": 0}"#).contains("nan and inf"));
    assert!(refused(r#"{"steps": 1}"#).contains("unknown field `steps`"));
    // When written, since a codec does not know the array that it is for.
    let write = |shape: Vec<u64>, data_type, fill_value: FillValue, bytes: usize| -> Result<(), Box<dyn Error>> {
        let array = ArrayBuilder::new(shape.clone(), shape.clone(), data_type, fill_value)
            .array_to_bytes_codec(Arc::new(SubbandCodec::new(lossless())?))
            .build(Arc::new(MemoryStore::new()), "/")?;
        array.store_chunk(&vec![0; shape.len()], ArrayBytes::new_flen(vec![1u8; bytes]))?;
        Ok(())
    };
    let message = |result: Result<(), Box<dyn Error>>| result.expect_err("must be refused").to_string();
    assert!(message(write(vec![2, 3], data_type::float64(), 0.0f64.into(), 48)).contains("float64"));
    assert!(message(write(vec![6], data_type::uint8(), 0u8.into(), 6)).contains("two axes"));
    Ok(())
}

#[test]
fn a_chunk_of_another_shape_is_refused() -> Tested {
    let (store, array) = create(lossless())?;
    let view = values(4 * 4 * 7 * 5);
    let config = subband::Config::default().with_target(subband::Target::Lossless);
    let other = subband::compress(&subband::TensorView::new(&view, &[4, 4, 7, 5])?, &config)?;
    let key = StoreKey::new("c/0/0/0/0")?;
    store.set(&key, other.bytes.into())?;
    for ranges in [[0..4, 0..4, 0..5, 0..7], [1..2, 0..1, 0..5, 0..7]] {
        let read = array.retrieve_array_subset::<Vec<f32>>(&ArraySubset::new_with_ranges(&ranges));
        assert!(read.is_err_and(|error| error.to_string().contains("the metadata says")));
    }
    store.set(&key, b"nonsense".to_vec().into())?;
    assert!(array.retrieve_array_subset::<Vec<f32>>(&array.subset_all()).is_err());
    Ok(())
}

#[test]
fn configurations_come_back() -> Tested {
    let texts = [
        r#"{"step":[0.5,1.0,1.0,2.0],"levels":1}"#,
        r#"{"bits":2.0,"rounding":0.3,"rdo":0.1,"effort":"fast"}"#,
        r#"{"step":[[0.5,0.5],[1.0,0.25]],"wavelet":"none","levels":0,"nan":0.0,"inf":9.0}"#,
    ];
    for text in texts.iter().take(2) {
        let codec = SubbandCodec::new(serde_json::from_str(text)?)?;
        let found = codec.configuration_v3(&CodecMetadataOptions::default());
        assert_eq!(serde_json::to_string(&found)?, *text);
    }
    // Not of a transform without levels.
    assert!(refused(texts[2]).contains("step"));
    let steps = SubbandCodec::new(serde_json::from_str(r#"{"step": 1, "lossless": null}"#)?)?;
    assert_eq!(steps.settings().step, Some(StepConfiguration::Uniform(1.0)));
    Ok(())
}

/// `tests/data/make.py` wrote them.
#[test]
fn arrays_of_the_python_package() -> Tested {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let expected: Vec<f32> = std::fs::read(folder.join("values.raw"))?.iter().map(|&x| f32::from(x)).collect();
    for (name, tolerance) in [("lossless.zarr", 0.0), ("max_error.zarr", 0.5)] {
        let array = Array::open(Arc::new(FilesystemStore::new(folder.join(name))?), "/")?;
        assert_eq!(array.shape(), [3, 4, 9, 10]);
        let decoded: Vec<f32> = array.retrieve_array_subset(&array.subset_all())?;
        assert!(decoded.iter().zip(&expected).all(|(decoded, x)| (decoded - x).abs() <= tolerance), "{name}");
        let part = ArraySubset::new_with_ranges(&[1..3, 2..3, 0..9, 4..6]);
        let read: Vec<f32> = array.retrieve_array_subset(&part)?;
        assert_eq!(read, picked(&decoded, array.shape(), &part), "{name}");
    }
    Ok(())
}
