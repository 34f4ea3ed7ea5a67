//! The callbox program: its arguments, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    callbox::cli::main()
}
