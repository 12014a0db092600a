//! One file a command: its arguments, its help, and what it does.

pub mod completions;
pub mod data;
