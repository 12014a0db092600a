//! `subband retrain`, `models`, `reproduce` and what `eval` takes by default, as far as no data set is needed.

mod common;

use common::Folder;

#[test]
fn wrong_configurations_are_one_clear_error_and_leave_nothing() {
    let folder = Folder::new();
    folder.write("lamda.toml", b"[rate]\nlamda = 0.5\n");
    for (flags, messages) in [
        (&["--config", "lamda.toml"][..], &["lamda.toml: unknown field `lamda`", "`lambda`"][..]),
        (&["--lambda", "-1"], &["rate.lambda = -1", "at least 0"]),
        (&["--selection", "best"], &["best", "gates"]),
        (&["--retain", "1.5"], &["selection.retain = 1.5", "0 to 1"]),
        (&["--wavelet", "none", "--levels", "3"], &["codec.levels = 3", "0 for wavelet none"]),
        (&["--wavelet", "db3"], &["db3", "haar"]),
        (&["--set", "codec.rounding=0.7"], &["codec.rounding = 0.7", "0 to 0.5"]),
        (&["--set", "training.network=resnet18"], &["weights is missing"]),
        (&["--network", "resnet18", "--weights", "w", "--batch-size", "1"], &["batch_size = 1", "at least 2"]),
        (&["--devices", "0"], &["devices = 0", "at least 1"]),
        (&["--devices", "3"], &["devices = 3", "divisor of batch_size, which is 128"]),
        (&["--devices", "two"], &["--devices", "two"]),
        (&["--lambda", "0.5", "--set", "rate.lambda=0.6"], &["rate.lambda is set twice"]),
        (&["--taps", "conv"], &["conv", "blocks"]),
    ] {
        let error = folder.fails(2, &[&["retrain", "--run", "run", "--data", "nothing"], flags].concat());
        assert!(messages.iter().all(|message| error.contains(message)), "{flags:?}: {error}");
    }
    let error = folder.fails(1, &["retrain", "--run", "run", "--data", "nothing"]);
    assert!(error.contains("no CIFAR-10 in nothing"), "{error}");
    let error =
        folder.fails(1, &["retrain", "--run", "run", "--network", "resnet18", "--weights", "w", "--data", "nothing"]);
    assert!(error.contains("cannot list nothing"), "{error}");
    assert!(!folder.path("run").exists());
}

#[test]
fn models_are_listed_with_their_files() {
    let folder = Folder::new();
    let list: serde_json::Value = serde_json::from_str(&folder.ok(&["models", "--json"])).unwrap();
    let models = list.as_array().unwrap();
    assert!(!models.is_empty());
    for model in models {
        for field in ["top1_uncompressed", "top1", "bits_per_value", "ratio_f32"] {
            assert!(model[field].is_number(), "{field}: {model}");
        }
        for file in ["weights", "profile"] {
            let path = folder.path(model[file].as_str().unwrap());
            assert!(path.metadata().unwrap().len() > 100, "{}", path.display());
        }
    }
    let table = folder.ok(&["models"]);
    assert!(table.contains(models[0]["name"].as_str().unwrap()) && table.contains("bits/value"), "{table}");
}

#[test]
fn eval_says_what_it_lacks() {
    let folder = Folder::new();
    let error = folder.fails(1, &["eval", "--model", "resnet99"]);
    assert!(error.contains("resnet99") && error.contains("resnet20-cifar10"), "{error}");
    let error = folder.fails(2, &["eval", "--weights", "w.safetensors"]);
    assert!(error.contains("--network"), "{error}");
    let error = folder.fails(2, &["eval", "--network", "resnet20", "--weights", "w.safetensors"]);
    assert!(error.contains("--profile"), "{error}");
}

#[test]
fn reproduce_names_its_experiments_and_groups() {
    let folder = Folder::new();
    let error = folder.fails(2, &["reproduce", "imagenet", "--out", "out"]);
    assert!(error.contains("imagenet") && error.contains("cifar10"), "{error}");
    let error = folder.fails(2, &["reproduce", "cifar10", "--out", "out", "--only", "best"]);
    assert!(error.contains("best") && error.contains("ablation"), "{error}");
    let error = folder.fails(1, &["reproduce", "cifar10", "--out", "out", "--quick", "--data", "nothing"]);
    assert!(error.contains("no CIFAR-10 in nothing"), "{error}");
    assert!(!folder.path("out").exists());
}
