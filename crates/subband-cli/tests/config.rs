//! `subband train --config`: the layers of a configuration, and its errors. None of these runs gets as far as its data.

mod common;

use common::Folder;

const TRAIN: [&str; 5] = ["train", "--run", "run", "--data", "nothing"];

fn fails(folder: &Folder, status: i32, flags: &[&str]) -> String {
    let error = folder.fails(status, &[&TRAIN, flags].concat());
    assert!(!folder.path("run").exists());
    error
}

#[test]
fn a_flag_goes_over_the_file() {
    let folder = Folder::new();
    folder.write("run.toml", b"epochs = 0\nlimit = 500\n\n[schedule]\nkind = \"cosine\"\nwarmup_epochs = 1\n");
    let error = fails(&folder, 2, &["--config", "run.toml"]);
    assert!(error.contains("epochs = 0: must be at least 1"), "{error}");
    for flags in [
        &["--config", "run.toml", "--epochs", "3"][..],
        &["--config", "run.toml", "--set", "epochs=3", "--warmup-epochs", "2", "--limit", "none"],
        &["--config", "run.toml", "--epochs", "3", "--schedule", "step", "--milestones", "1,2"],
    ] {
        let error = fails(&folder, 1, flags);
        assert!(error.contains("no CIFAR-10 in nothing"), "{error}");
    }
}

#[test]
fn wrong_configurations_are_one_clear_error() {
    let folder = Folder::new();
    folder.write("epoch.toml", b"epoch = 3\n");
    folder.write("syntax.toml", b"epochs = 3\nseed = 1 2\n");
    folder.write("schedule.toml", b"[schedule]\nkind = \"linear\"\n");
    for (flags, messages) in [
        (&["--config", "epoch.toml"][..], &["epoch.toml: unknown field `epoch`", "`epochs`", "`learning_rate`"][..]),
        (&["--config", "syntax.toml"], &["syntax.toml, line 2"]),
        (&["--config", "schedule.toml"], &["schedule.toml", "`linear`", "`one-cycle`, `cosine`, `step`"]),
        (&["--set", "momentun=0.5"], &["command line: unknown field `momentun`", "`momentum`"]),
        (&["--set", "momentum=high"], &["command line", "string \"high\", expected f64", "`momentum`"]),
        (&["--set", "momentum"], &["KEY=VALUE"]),
        (&["--set", "seed=2", "--seed", "3"], &["seed is set twice"]),
        (&["--schedule", "cosine", "--peak-at", "0.5"], &["unknown field `peak_at`, expected `warmup_epochs`"]),
        (&["--schedule", "step"], &["missing field `milestones`", "`schedule`"]),
        (&["--schedule", "linear"], &["one-cycle, cosine, step"]),
        (&["--gradient-clip", "off"], &["a number and none"]),
        (&["--limit", "1.5"], &["expected usize", "`limit`"]),
        (&["--nesterov", "maybe"], &["true, false"]),
        (&["--seed", "18446744073709551615"], &["seed"]),
        (&["--network", "resnet50"], &["resnet56"]),
    ] {
        let error = fails(&folder, 2, flags);
        assert!(messages.iter().all(|message| error.contains(message)), "{flags:?}: {error}");
    }
    let error = fails(&folder, 1, &["--config", "missing.toml"]);
    assert!(error.contains("cannot read missing.toml"), "{error}");
}
