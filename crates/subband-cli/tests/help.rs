//! Help and completions.

mod common;

use common::Folder;

const COMMANDS: [&str; 13] = [
    "compress",
    "decompress",
    "inspect",
    "calibrate",
    "eval",
    "compare",
    "train",
    "retrain",
    "models",
    "reproduce",
    "demo",
    "data",
    "completions",
];

#[test]
fn every_command_has_help_with_examples() {
    let folder = Folder::new();
    let overview = folder.ok(&["--help"]);
    assert!(overview.contains("Examples:") && overview.contains("Exit status"));
    for command in COMMANDS {
        assert!(overview.contains(command), "{command}");
        let command = if command == "data" { &["data", "cifar10"][..] } else { &[command] };
        let help = folder.ok(&[command, &["--help"]].concat());
        assert!(help.contains("Examples:\n  subband "), "{command:?}: {help}");
    }
    assert!(folder.ok(&["--version"]).starts_with("subband "));
}

#[test]
fn completions_name_the_commands_and_options() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = folder.ok(&["completions", shell]);
        for word in COMMANDS.iter().chain(&["max-error", "channels-per-chunk"]) {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[cfg(unix)]
#[test]
fn bash_takes_the_completions() {
    // Only where bash is there to ask.
    let script = Folder::new().ok(&["completions", "bash"]);
    let test = format!(
        "{script}\nCOMP_WORDS=(subband comp); COMP_CWORD=1; _subband subband comp subband; echo ${{COMPREPLY[@]}}"
    );
    let Ok(output) = std::process::Command::new("bash").args(["-c", &test]).output() else { return };
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(words.contains("compress") && words.contains("completions"), "{words}");
}
