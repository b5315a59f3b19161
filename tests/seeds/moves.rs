//! Moves alone: people move labels and cards, close, reopen, withdraw and put back, rename and delete labels, and now and
//! then the service looks, or another instance of it. More of that happens to a match here than in a whole life, so that
//! what it saw and what it slept through meet in every order: read anew from GitLab, each match stands where it stood.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use vorhoelle::engine::Engine;
use vorhoelle::sandbox::HookMode;

use crate::checks::{check, matches, picture};
use crate::dice::Dice;
use crate::life::{Past, what_gitlab_tells};
use crate::support::{Disk, STATES, World};

/// Matches of one seed.
const MATCHES: usize = 4;
/// Moves of one seed.
const MOVES: usize = 60;
/// One seed of so many has a second instance, as in a rolling deploy.
const TWO_OF: u64 = 3;
/// In one seed of so many labels are deleted.
const DELETES_OF: u64 = 5;

/// Where nothing is to be written, a look leaves no trace in GitLab; that a service which is awake has looked shows after so
/// long a pause.
const BEFORE_A_LOOK: Duration = Duration::from_mins(16);

/// Moves about; what was done is in the log where it ends badly.
pub async fn move_about(seed: u64, log: &Mutex<Vec<String>>) {
    let mut dice = Dice(seed);
    let mut world = World::new().await;
    world.make_board();
    for id in 0..MATCHES {
        world.stage(&id.to_string()).await;
    }
    world.sandbox.hook_mode(HookMode::Lose);
    let other = if seed.is_multiple_of(TWO_OF) { Some(world.another_instance().await.engine) } else { None };
    let deletes = seed % DELETES_OF == 1;
    for _ in 0..MOVES {
        let moved = match &other {
            Some(other) if dice.roll(6) == 0 => the_other_looks(&world, other).await,
            _ => one_move(&mut dice, &mut world, deletes).await,
        };
        log.lock().unwrap().push(moved);
    }
    look_twice(&world).await;
    if let Some(other) = &other {
        for _ in 0..2 {
            the_other_looks(&world, other).await;
        }
        look_twice(&world).await;
        the_other_looks(&world, other).await;
    }
    log.lock().unwrap().extend(what_gitlab_tells(&world));
    let past = Past { deleted_labels: deletes, two_instances: other.is_some(), ..Past::default() };
    check(&world, &past, &BTreeSet::new()).await;
    let before = picture(&world, &BTreeSet::new()).await;
    for seen in before.iter().filter(|seen| seen["state"].is_string()) {
        let iid = seen["iid"].as_u64().unwrap();
        let state = |engine: &Engine| engine.mirror().record(iid).unwrap().unwrap().state.to_string();
        assert_eq!(other.as_ref().map_or(seen["state"].clone(), |other| json!(state(other))), seen["state"]);
    }
    world.restart(Disk::Wiped).await;
    look_twice(&world).await;
    log.lock().unwrap().push("read anew:".to_owned());
    log.lock().unwrap().extend(what_gitlab_tells(&world));
    let after = picture(&world, &BTreeSet::new()).await;
    assert!(
        deletes || after == before,
        "what GitLab alone tells is what the mirror knew: {after:?}, not {before:?}"
    );
}

async fn the_other_looks(world: &World, other: &Engine) -> String {
    world.clock.advance(BEFORE_A_LOOK);
    other.delta().await.unwrap();
    other.work_off().await;
    "another instance looks".to_owned()
}

async fn look_twice(world: &World) {
    world.look_twice().await;
}

/// Does one thing and tells what.
async fn one_move(dice: &mut Dice, world: &mut World, deletes: bool) -> String {
    let iid = *dice.pick(&matches(world));
    let state = *dice.pick(&STATES);
    let who = *dice.pick(&["reviewer", "colleague"]);
    let label = |state: &str| format!("job-match/{state}");
    let on = world.labels(iid).into_iter().find(|one| one.contains('/'));
    match dice.roll(if deletes { 23 } else { 22 }) {
        22 => {
            world.person("owner").delete_label(&label(state)).unwrap();
            world.delta().await;
            format!("the label {state} is deleted, and the service looks")
        }
        21 => {
            // A label that is none of ours says nothing of a match.
            let done = world.person(who).relabel(iid, &["urgent"], &[]).is_ok();
            world.person(who).relabel(iid, &[], &["urgent"]).ok();
            format!("{who} labels #{iid} urgent for a moment: {done}")
        }
        20 => {
            let (name, new) = (label(state), format!("{state}!"));
            world.person("owner").rename_label(&name, &new).unwrap();
            let done = world.person(who).relabel(iid, &[&new], &[]).is_ok();
            let looks = dice.roll(2) == 0;
            if looks {
                world.delta().await;
            }
            world.person("owner").rename_label(&new, &name).unwrap();
            format!(
                "{name} is called {new} while {who} adds it to #{iid}: {done}, and the service looks: {looks}"
            )
        }
        0..=2 => {
            let done = world.person(who).relabel(iid, &[&label(state)], &[]);
            format!("{who} adds {state} to #{iid}: {}", done.is_ok())
        }
        3..=7 => {
            let from = on.unwrap_or_default();
            let done = world.person(who).relabel(iid, &[&label(state)], &[&from]);
            format!("{who} moves #{iid} from {from} to {state}: {}", done.is_ok())
        }
        8 => {
            let from = on.unwrap_or_default();
            format!(
                "{who} takes {from} off #{iid}: {}",
                world.person(who).relabel(iid, &[], &[&from]).is_ok()
            )
        }
        9 => format!("{who} closes #{iid}: {}", world.person(who).close(iid).is_ok()),
        10 => format!("{who} reopens #{iid}: {}", world.person(who).reopen(iid).is_ok()),
        11 => {
            let (status, _) = world.patch(iid, &json!({"state": state})).await;
            format!("patch #{iid} to {state}: {status}")
        }
        12 => {
            let from = if world.is_open(iid) {
                on.unwrap_or_else(|| "Open".to_owned())
            } else {
                "Closed".to_owned()
            };
            let to = *dice.pick(&["Closed", "job-match/pending", "job-match/approved", "job-match/rejected"]);
            format!(
                "{who} drags #{iid} from {from} to {to}: {}",
                world.person(who).drag(iid, &from, to).is_ok()
            )
        }
        13 => {
            let done = world.person(who).relabel(iid, &[], &["job-match"]);
            format!("{who} withdraws #{iid}: {}", done.is_ok())
        }
        14 => {
            let done = world.person(who).relabel(iid, &["job-match"], &[]);
            format!("{who} puts #{iid} back: {}", done.is_ok())
        }
        15 => {
            let other = *dice.pick(&STATES);
            let done = world.person(who).relabel(iid, &[&label(state), &label(other)], &[]);
            format!("{who} adds {state} and {other} to #{iid}: {}", done.is_ok())
        }
        16 => {
            let seconds = 1 + dice.roll(700) as u64;
            world.clock.advance(Duration::from_secs(seconds));
            format!("{seconds} s go by")
        }
        _ => {
            world.clock.advance(BEFORE_A_LOOK);
            world.delta().await;
            "the service looks".to_owned()
        }
    }
}
