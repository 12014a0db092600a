//! `subband demo` from a folder with nothing in it.

mod common;

use common::Folder;

#[test]
fn it_prints_the_table_and_draws_the_picture() {
    let folder = Folder::new();
    // A picture of an earlier run is no obstacle.
    folder.write("subband-demo.png", b"old");
    let report = folder.ok(&["demo", "--tap", "layer3.0"]);
    assert!(report.contains("layer1.0  16x32x32") && report.contains("bits per value"), "{report}");
    assert!(report.contains("500 of cifar10/test") && report.contains("subband-demo.png"), "{report}");
    assert_eq!(folder.names(), ["subband-demo.png"]);
    let picture = image::load_from_memory(&folder.read("subband-demo.png")).unwrap();
    assert!(picture.width() > 900 && picture.height() > 900);
}

#[test]
fn wrong_arguments_are_named() {
    let folder = Folder::new();
    let error = folder.fails(2, &["demo", "--image", "500"]);
    assert!(error.contains("500") && error.contains("0..500"), "{error}");
    let error = folder.fails(1, &["demo", "--tap", "layer9.9"]);
    assert!(error.contains("layer9.9") && error.contains("layer1.0"), "{error}");
    assert!(folder.names().is_empty());
}
