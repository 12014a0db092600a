//! What every example does: its arguments, and an error for people.

use std::fmt::Display;
use std::process::{ExitCode, exit};

/// Runs with the arguments of the command line, and says what went wrong.
pub fn main<E: Display>(run: impl FnOnce(&[String]) -> Result<(), E>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ends with how the example is called.
pub fn usage(text: &str) -> ! {
    eprintln!("usage: {text}");
    exit(2);
}
