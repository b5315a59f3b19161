//! What is asked of a measurement: each figure is printed as a row of the table in `benches/README.md`, and those that fall
//! short make the measurement fail at its end.

#![allow(clippy::print_stdout, reason = "a measurement says what it found")]

use std::fmt::{self, Display, Formatter};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

/// What a figure is to be.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    AtMost(f64),
    AtLeast(f64),
}

impl Asked {
    /// What is no number meets nothing.
    pub fn is_met_by(self, found: f64) -> bool {
        match self {
            Self::AtMost(most) => found <= most,
            Self::AtLeast(least) => found >= least,
        }
    }
}

impl Display for Asked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

/// The rows that fell short.
static SHORT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Prints a figure, and remembers it where it is not what was asked for.
pub fn figure(what: &str, asked: Asked, found: f64, unit: &str) {
    let decimals = if found.fract() == 0.0 { 0 } else { 2 };
    let with_unit = |value: String| format!("{value} {unit}").trim_end().to_owned();
    let (asked_for, measured) = (with_unit(asked.to_string()), with_unit(format!("{found:.decimals$}")));
    let row = format!("| {what} | {asked_for} | {measured} |");
    println!("{row}");
    if !asked.is_met_by(found) {
        SHORT.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    }
}

/// Ends the measurement: it fails where a figure fell short, and says which.
pub fn end() -> ExitCode {
    let short = SHORT.lock().unwrap_or_else(PoisonError::into_inner);
    if short.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nnot as it was asked for:\n{}", short.join("\n"));
    ExitCode::FAILURE
}
