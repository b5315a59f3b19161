//! Seeded interleavings: people's acts, webhooks lost, doubled, late and out of order, answers dropped, errors, kills
//! with the disk kept or wiped, drafts and applications, links, a spreadsheet, wishes to be forgotten, a receiver of events
//! that fails, time passing – in an order that a seed decides, over the real service and the sandbox.
//!
//! A seed that fails prints itself; `VORHOELLE_TEST_SEED=N` replays it alone. `VORHOELLE_TEST_SEEDS=N` runs so many,
//! `VORHOELLE_TEST_SEEDS=M..N` those; `VORHOELLE_TEST_MOVE` and `VORHOELLE_TEST_MOVES` do the same for moves alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "seeds/acts.rs"]
mod acts;
#[path = "seeds/applications.rs"]
mod applications;
#[path = "seeds/checks.rs"]
mod checks;
#[path = "seeds/dice.rs"]
mod dice;
#[path = "seeds/events.rs"]
mod events;
#[path = "seeds/life.rs"]
mod life;
#[path = "seeds/moves.rs"]
mod moves;
#[path = "seeds/other_ways.rs"]
mod other_ways;
#[path = "support/events.rs"]
mod receiver;
#[path = "support/sheet.rs"]
mod sheet;
#[path = "support/smtp.rs"]
mod smtp;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use life::live;
use moves::move_about;
use tokio::runtime::{Builder, Runtime};

/// Seeds that run at the same time.
const AT_ONCE: usize = 4;
/// What an act of a life holds on its thread's stack is much in a debug build, in bytes.
const STACK: usize = 8 * 1024 * 1024;
/// A run of hours says how far it is.
const TOLD_EVERY: u64 = 1000;

#[test]
fn whatever_happens_in_whatever_order_it_ends_well() {
    run_all(seeds("VORHOELLE_TEST_SEED", "1000"), |seed, log, runtime| runtime.block_on(live(seed, log)));
}

#[test]
fn however_labels_are_moved_they_read_back_as_they_were_followed() {
    run_all(seeds("VORHOELLE_TEST_MOVE", "200"), |seed, log, runtime| {
        runtime.block_on(move_about(seed, log))
    });
}

/// The one that the variable names, or those that its plural does.
fn seeds(variable: &str, usual: &str) -> Vec<u64> {
    if let Ok(only) = std::env::var(variable) {
        return vec![only.parse().unwrap()];
    }
    let asked = std::env::var(format!("{variable}S")).unwrap_or_else(|_| usual.to_owned());
    let (first, end) = asked.split_once("..").unwrap_or(("0", &asked));
    (first.parse::<u64>().unwrap()..end.parse().unwrap()).collect()
}

fn run_all(seeds: Vec<u64>, run: impl Fn(u64, &Mutex<Vec<String>>, Runtime) + Sync) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let lives = || {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // One a seed: what a life leaves behind would call at ports that others have by then.
                    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                    let log = Mutex::new(Vec::new());
                    let run = AssertUnwindSafe(|| run(*seed, &log, runtime));
                    if catch_unwind(run).is_err() {
                        eprintln!("seed {seed} fails; its acts:\n{}", log.lock().unwrap().join("\n"));
                        failed.lock().unwrap().push(*seed);
                    }
                    if seed % TOLD_EVERY == TOLD_EVERY - 1 {
                        eprintln!("seed {seed} after {:.0} s", started.elapsed().as_secs_f64());
                    }
                }
            };
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, lives).unwrap();
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "of {} seeds these fail: {failed:?}", seeds.len());
}
