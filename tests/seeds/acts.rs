//! What people, pipelines, time and trouble do.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

use crate::applications;
use crate::checks::matches;
use crate::dice::Dice;
use crate::events::trouble_the_receiver;
use crate::life::Life;
use crate::other_ways;
use crate::smtp::Mood;
use crate::support::{Disk, STATES, job};

/// Does one thing and tells what.
pub async fn act(dice: &mut Dice, life: &mut Life) -> String {
    let what = dice.roll(44 + other_ways::ACTS);
    if what >= 28 {
        return match what {
            28 => trouble_the_receiver(dice, &life.pipeline),
            44.. => other_ways::act(dice, life, what - 44).await,
            _ => applications::act(dice, life, what - 29).await,
        };
    }
    let Life { world, mails, past, .. } = life;
    let iids = matches(world);
    let iid = if iids.is_empty() { 999 } else { *dice.pick(&iids) };
    let label = |state: &str| format!("job-match/{state}");
    let state = *dice.pick(&STATES);
    let who = *dice.pick(&["reviewer", "colleague"]);
    // Acts on issues that are not there are refused by the sandbox as by GitLab.
    match what {
        0..=3 => {
            let id = dice.roll(4).to_string();
            let (status, answer) = world.post(&job(&id)).await;
            if status.is_success() {
                let iid = answer["iid"].as_u64().unwrap();
                past.accepted.insert(id.clone(), iid);
            }
            format!("post {id}: {status}")
        }
        4..=6 => {
            let done = world.person(who).relabel(iid, &[&label(state)], &[]);
            format!("{who} adds {state} to #{iid}: {}", done.is_ok())
        }
        7 => {
            let from = world.labels(iid).into_iter().find(|one| one.contains('/')).unwrap_or_default();
            let done = world.person(who).relabel(iid, &[&label(state)], &[&from]);
            format!("{who} moves #{iid} from {from} to {state}: {}", done.is_ok())
        }
        8 => format!("{who} closes #{iid}: {}", world.person(who).close(iid).is_ok()),
        9 => format!("{who} reopens #{iid}: {}", world.person(who).reopen(iid).is_ok()),
        10 => {
            let (status, _) = world.patch(iid, &json!({"state": state})).await;
            format!("patch #{iid} to {state}: {status}")
        }
        11 => format!("{who} comments on #{iid}: {}", world.person(who).comment(iid, "hm").is_ok()),
        12 => {
            let mode = *dice.pick(&[HookMode::Deliver, HookMode::Lose, HookMode::Twice, HookMode::Hold]);
            world.sandbox.hook_mode(mode);
            format!("webhooks: {mode:?}")
        }
        13 => {
            let held: Vec<u64> = world.sandbox.held().iter().map(|held| held.id).collect();
            if held.is_empty() {
                return "no delivery is held".to_owned();
            }
            let id = *dice.pick(&held);
            world.sandbox.deliver_held(id).await;
            format!("held delivery {id} arrives")
        }
        14 | 15 => {
            let (method, path) = dice
                .pick(&[
                    (Method::POST, "/issues"),
                    (Method::PUT, "/issues/"),
                    (Method::POST, "/notes"),
                    (Method::GET, "/issues"),
                    (Method::GET, "_events"),
                    (Method::POST, "/award_emoji"),
                ])
                .clone();
            let mut troubles = vec![
                Trouble::CutBefore,
                Trouble::bad_gateway(),
                Trouble::rate_limited(3),
                Trouble::application_limit(),
            ];
            if method == Method::GET {
                troubles.push(Trouble::Stale);
            } else {
                troubles.extend([Trouble::DropAnswer, Trouble::CutBody]);
            }
            let trouble = dice.pick(&troubles).clone();
            life.past.read_stale |= trouble == Trouble::Stale;
            let times = 1 + u32::try_from(dice.roll(4)).unwrap();
            let said = format!("{method} {path} meets {trouble:?} {times} times");
            world.sandbox.fault(Fault::new(method, path, trouble).times(times));
            said
        }
        16 => {
            let disk = *dice.pick(&[Disk::Kept, Disk::Wiped]);
            let read = life.die_and_rise(disk).await;
            format!("killed and started again, disk {disk:?}: {read}")
        }
        17 => {
            let seconds = 1 + dice.roll(700) as u64;
            world.clock.advance(Duration::from_secs(seconds));
            format!("{seconds} s go by")
        }
        18 => {
            let done = world.person(who).relabel(iid, &[], &["job-match"]);
            format!("{who} withdraws #{iid}: {}", done.is_ok())
        }
        19 => {
            let done = world.person(who).relabel(iid, &["job-match"], &[]);
            format!("{who} puts #{iid} back: {}", done.is_ok())
        }
        20 => {
            let other = *dice.pick(&STATES);
            let two = [label(state), label(other)];
            let done = world.person(who).relabel(iid, &[&two[0], &two[1]], &[]);
            format!("{who} adds {two:?} to #{iid}: {}", done.is_ok())
        }
        21 => {
            let open = world.sandbox.world().issue(iid).is_none() || world.is_open(iid);
            let labels = if iids.is_empty() { Vec::new() } else { world.labels(iid) };
            let on = labels.into_iter().find(|one| one.contains('/')).unwrap_or_else(|| "Open".to_owned());
            let from = if open { on } else { "Closed".to_owned() };
            let to = *dice.pick(&["Closed", "job-match/pending", "job-match/approved", "job-match/rejected"]);
            let done = world.person(who).drag(iid, &from, to);
            format!("{who} drags #{iid} from {from} to {to}: {}", done.is_ok())
        }
        22 => {
            let mood = *dice.pick(&[Mood::Fine, Mood::Busy, Mood::GoneAfterMessage]);
            mails.set_mood(mood);
            format!("the mail server is {mood:?}")
        }
        23..=25 => {
            let before = mails.mails().len();
            world.clock.advance(Duration::from_secs(120));
            world.notifier.tick().await;
            let sent = mails.mails().len() - before;
            if mails.mood() == Mood::GoneAfterMessage {
                past.repeats += sent;
            }
            format!("people are told: {sent} mails")
        }
        26 => {
            let body = json!({ "min_score": dice.roll(90) });
            let answer = world.call(world.http.patch(world.url("/api/v1/config")).json(&body)).await;
            format!("settings {body}: {}", answer.0)
        }
        _ => {
            world.clock.advance(Duration::from_secs(300));
            format!("delta read: {}", world.engine.delta().await.is_ok())
        }
    }
}
