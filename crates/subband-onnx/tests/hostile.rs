//! Files that are not what they should be.

mod common;

use common::{INPUT, model};
use subband_onnx::{ErrorKind, Inputs, Model, Preprocess, Rten, TappedNetwork, candidates};

#[test]
fn truncated_and_damaged_models_are_errors() {
    let bytes = model(None);
    Model::from_bytes("whole", &bytes, None).unwrap();
    let engine = Rten::new();
    let open = |bytes: &[u8]| {
        let model = Model::from_bytes("x", bytes, None)?;
        candidates(&model, &engine, &INPUT).map(|_| ())
    };
    let mut refused = 0;
    for end in (0..bytes.len()).step_by(61) {
        refused += usize::from(open(&bytes[..end]).is_err());
    }
    assert!(refused > bytes.len() / 122, "{refused}");
    for at in (0..bytes.len()).step_by(89) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        // Weights may change unseen; nothing may panic.
        let _ = open(&damaged);
    }
    assert_eq!(Model::from_bytes("x", b"", None).unwrap_err().kind(), ErrorKind::Model);
    assert_eq!(Model::from_bytes("x", b"\x89PNG\r\n\x1a\n and more", None).unwrap_err().kind(), ErrorKind::Model);
}

#[test]
fn taps_that_are_none() {
    let model = Model::from_bytes("x", &model(None), None).unwrap();
    for (name, reason) in [("x", "input"), ("w0", "weight"), ("logits", "output"), ("nowhere", "has no value")] {
        let error = TappedNetwork::new(&model, &Rten::new(), &[name.to_owned()]).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains(reason), "{name}: {error}");
    }
}

#[test]
fn folders_without_images_and_arrays_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let settled = || Preprocess::default().settle(&INPUT).unwrap();
    let open = || Inputs::folder(folder.path(), None, settled()).unwrap_err().to_string();
    assert!(open().contains("no image"), "{}", open());
    std::fs::create_dir(folder.path().join("cat")).unwrap();
    std::fs::write(folder.path().join("cat/notes.txt"), "none").unwrap();
    assert!(open().contains("no image"), "{}", open());
    let classes = folder.path().join("classes.txt");
    std::fs::write(&classes, "dog a dog\n").unwrap();
    let error = Inputs::folder(folder.path(), Some(&classes), settled()).unwrap_err().to_string();
    assert!(error.contains("cat") && error.contains("not among the 1 classes"), "{error}");
    assert!(Inputs::folder(&classes, None, settled()).unwrap_err().to_string().contains("neither a folder"));
    assert!(Inputs::arrays("x", INPUT.to_vec(), vec![0.0; 5], None).is_err());
    assert!(Inputs::arrays("x", vec![1], vec![0.0; 5], Some(vec![0; 4])).is_err());
}
