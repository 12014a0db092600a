//! `subband completions`: scripts that complete the command line in a shell.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::{Cli, output};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  subband completions bash > ~/.local/share/bash-completion/completions/subband
  subband completions zsh > ~/.zfunc/_subband        # with fpath+=~/.zfunc in .zshrc
  subband completions fish > ~/.config/fish/completions/subband.fish")]
pub struct Args {
    shell: Shell,
}

pub fn run(args: Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "subband", &mut script);
    output::print(&String::from_utf8_lossy(&script), false)
}
