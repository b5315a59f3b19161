//! The `vorhoelle` program: arguments become a command, errors an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    vorhoelle::cli::main()
}
