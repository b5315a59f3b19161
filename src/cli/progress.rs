//! Bars that show how far a long command is, where a person looks on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for so many things.
pub(super) fn bar(things: usize) -> ProgressBar {
    let bar = ProgressBar::new(things as u64);
    match ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Says that the command waits, or goes on.
pub(super) fn tell_of_waiting(bar: &ProgressBar, long: Option<Duration>) {
    bar.set_message(
        long.map_or_else(String::new, |long| format!("GitLab asks to wait {} s", long.as_secs())),
    );
}
