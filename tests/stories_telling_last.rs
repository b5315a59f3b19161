//! Stories of what the service remembers of its messages: when the last ones left, what an earlier bot told, what a clock
//! that was wrong wrote down, what the disk did not take.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a test; a part of the receivers is used"
)]

#[path = "support/mailing.rs"]
mod mailing;
#[path = "support/receivers.rs"]
mod receivers;
#[path = "support/smtp.rs"]
mod smtp;
mod support;

use std::time::Duration;

use http::Method;
use mailing::{kept, mailing, single, subjects};
use receivers::{Receiver, Reply};
use reqwest::StatusCode;
use serde_json::{Value, json};
use smtp::{MailServer, Mood};
use support::{Difference, Disk, World};
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

const ENGLISH: &str = "language: en\n";
const NO_ALARM: &str = "language: en\nquiet_alarm_after: off\n";
const NEW_ONLY: &str = "language: en\nremind_after: off\nquiet_alarm_after: off\n";
const DIGESTS: &str =
    "language: en\nremind_after: off\nquiet_alarm_after: off\nbatch: {mode: digest, every: 2h}\n";
const DAY: u64 = 24 * 60;

/// A world whose service writes on Slack, and with whose token.
async fn slacking(slack: &Receiver, more: &[(&'static str, &'static str)]) -> World {
    let mut variables = vec![("SLACK_WEBHOOK_URL", kept(format!("{}/services/T0/B0/x", slack.url)))];
    variables.extend_from_slice(more);
    World::with(Difference { variables, file: Some(NEW_ONLY), ..Difference::default() }).await
}

fn reminders(server: &MailServer) -> usize {
    subjects(server).iter().filter(|subject| subject.starts_with("Reminder")).count()
}

/// The service goes on as another bot, which is told of the first.
async fn go_on_as_another_bot(world: &mut World, disk: Disk) {
    let former = world.sandbox.as_user("bot").id();
    world.kill(disk).await;
    let token = world.replace_bot();
    world.set_variable("GITLAB_TOKEN", &token);
    world.set_variable("FORMER_USERS", &former.to_string());
    world.restart(disk).await;
}

/// Who wrote the comments that say when the last messages left.
fn who_says_when(world: &World) -> Vec<String> {
    let gitlab = world.sandbox.world();
    let said = |iid: &u64| gitlab.comments_of(*iid).into_iter().cloned().collect::<Vec<_>>();
    let all = gitlab.issues.keys().flat_map(said);
    let ours = all.filter(|note| note.body.contains("when it last sent a digest"));
    ours.map(|note| gitlab.username(note.author).to_owned()).collect()
}

#[tokio::test]
async fn what_an_earlier_bot_told_is_not_told_again_after_an_approval_and_its_undo() {
    let (mut world, server) = mailing(NEW_ONLY).await;
    let iid = world.stage("1").await;
    world.tell().await;
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.settle().await;
    go_on_as_another_bot(&mut world, Disk::Wiped).await;
    world.tell_after(60).await;
    world.reviewer().relabel(iid, &["job-match/pending"], &["job-match/approved"]).unwrap();
    world.settle().await;
    world.expect(iid, "pending").await;
    world.tell_after(60).await;
    assert_eq!(subjects(&server), [single("1")]);
    world.stage("2").await;
    world.tell().await;
    assert_eq!(subjects(&server)[1..], [single("2")]);
}

#[tokio::test]
async fn another_bot_says_in_a_comment_of_its_own_when_the_last_messages_left() {
    let (mut world, server) = mailing(DIGESTS).await;
    world.stage("1").await;
    world.stage("2").await;
    world.tell_after(120).await;
    assert_eq!(who_says_when(&world), ["bot"]);
    go_on_as_another_bot(&mut world, Disk::Kept).await;
    for id in ["3", "4"] {
        world.stage(id).await;
    }
    world.tell_after(120).await;
    assert_eq!((server.mails().len(), who_says_when(&world)), (2, vec!["bot".to_owned(), "bot2".to_owned()]));
    // It is edited from then on, and tells a fresh disk what the first one cannot.
    for id in ["5", "6"] {
        world.stage(id).await;
    }
    world.tell_after(120).await;
    assert_eq!((server.mails().len(), who_says_when(&world).len()), (3, 2));
    world.stage("7").await;
    world.restart(Disk::Wiped).await;
    world.tell_after(60).await;
    assert_eq!(server.mails().len(), 3);
    world.tell_after(60).await;
    assert_eq!(server.mails().len(), 4);
}

#[tokio::test]
async fn what_gitlab_could_not_be_told_of_the_last_messages_it_is_told_later() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, _server) = mailing(DIGESTS).await;
        world.stage("1").await;
        world.stage("2").await;
        let fault = Fault::new(Method::POST, "/issues/3/notes", Trouble::status(500));
        world.sandbox.fault(fault.times(1_000));
        world.tell_after(120).await;
        world.tell_after(5).await;
        assert_eq!(who_says_when(&world), [""; 0]);
        world.sandbox.clear_faults();
        if disk == Disk::Kept {
            world.restart(disk).await;
        }
        world.tell_after(11).await;
        assert_eq!(who_says_when(&world), ["bot"]);
        world.expect_comment(3, "when it last sent a digest");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_rebuild_beside_the_service_makes_it_read_the_receipts_again() {
    let (mut world, server) = mailing(NO_ALARM).await;
    world.stage("1").await;
    world.tell().await;
    world.tell_after(2 * DAY).await;
    assert_eq!(reminders(&server), 1);
    world.engine.mirror().clear().unwrap();
    world.delta().await;
    for _ in 0..3 {
        world.tell_after(DAY).await;
    }
    assert_eq!((server.mails().len(), reminders(&server)), (2, 1));
    world.expect_comment(2, "when it last sent a digest");
    world.finish().await;
}

/// The rebuild begins while GitLab's answer about what the message tells of is on its way.
#[tokio::test]
async fn a_match_that_a_rebuild_beside_the_service_threw_away_is_told_once_it_is_read_again() {
    for matches in [1, 2] {
        let (mut world, server) = mailing(NEW_ONLY).await;
        for id in 1..=matches {
            world.stage(&id.to_string()).await;
        }
        world.settle().await;
        let slow = Trouble::slow_body(Duration::from_secs(10));
        world.sandbox.fault(Fault::new(Method::GET, "iids%5B%5D=1", slow));
        let rebuild = async {
            world.until_called(|call| call.path.contains("iids%5B%5D=1")).await;
            world.engine.mirror().clear().unwrap();
            world.sandbox.end_pauses();
        };
        tokio::join!(world.notifier.tick(), rebuild);
        assert_eq!((server.mails().len(), world.receipts(1)), (0, vec![]));
        world.delta().await;
        world.tell().await;
        for iid in 1..=matches {
            assert_eq!(world.receipts(iid), ["e-mail"], "of {iid}");
        }
        assert_eq!(server.mails().len(), 1, "{:?}", subjects(&server));
        if matches > 1 {
            world.expect_comment(3, "when it last sent a digest");
        }
        world.finish().await;
    }
}

/// Nobody knows whether its message arrived; it was taken out since, and put back unheard.
#[tokio::test]
async fn a_match_that_does_not_count_at_the_moment_holds_up_no_other() {
    let (world, server) = mailing(NEW_ONLY).await;
    let first = world.stage("1").await;
    server.set_mood(Mood::GoneAfterMessage);
    world.tell().await;
    server.set_mood(Mood::Fine);
    world.reviewer().relabel(first, &[], &["job-match"]).unwrap();
    world.settle().await;
    assert_eq!(world.state(first).await, "none");
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(first, &["job-match"], &[]).unwrap();
    world.stage("2").await;
    let before = server.mails().len();
    world.tell_after(1).await;
    assert_eq!(subjects(&server)[before..], [single("2")]);
    world.expect(first, "pending").await;
    world.tell_after(1).await;
    assert_eq!(subjects(&server)[before + 1..], [single("1")]);
    world.finish().await;
}

#[tokio::test]
async fn what_was_sent_gets_its_receipt_although_the_disk_does_not_take_that_it_was() {
    let (mut world, server) = mailing(NEW_ONLY).await;
    world.spoil_mirror(
        "CREATE TRIGGER full BEFORE UPDATE ON facts
         WHEN NEW.name = 'flight email' AND json_extract(NEW.value, '$.sent_at') IS NOT NULL
         BEGIN SELECT raise(ABORT, 'the disk is full'); END",
    );
    world.stage("1").await;
    world.tell().await;
    assert_eq!((server.mails().len(), world.receipts(1)), (1, vec!["e-mail".to_owned()]));
    world.restart(Disk::Kept).await;
    world.tell_after(5).await;
    assert_eq!(server.mails().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_clock_that_was_ahead_silences_nothing_once_it_is_right() {
    let count = |server: &MailServer| {
        let begins = ["2 new matches", "Reminder: 2", "No new match"];
        let of = |begin: &str| subjects(server).iter().filter(|subject| subject.starts_with(begin)).count();
        begins.map(of)
    };
    let month = 30 * 86_400;
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, server) =
            mailing("language: en\nquiet_alarm_after: 5d\nbatch: {mode: digest, every: 2h}\n").await;
        world.clock_jumps(month);
        for times in [1, 2] {
            for id in 0..2 {
                world.stage(&format!("{times}.{id}")).await;
            }
            for minutes in [120, 2 * DAY, 3 * DAY] {
                world.tell_after(minutes).await;
            }
            assert_eq!(count(&server), [times; 3], "{:?}", subjects(&server));
            if times == 1 {
                world.clock_jumps(-month);
                world.restart(disk).await;
            }
        }
        world.expect_comment(3, "when it last sent a digest");
        world.finish().await;
    }
}

#[tokio::test]
async fn what_was_told_by_a_clock_that_was_ahead_is_reminded_of_once_it_is_right() {
    let (mut world, server) = mailing(NO_ALARM).await;
    world.clock_jumps(30 * 86_400);
    world.stage("1").await;
    world.tell().await;
    world.clock_jumps(-30 * 86_400);
    world.tell_after(2 * DAY - 60).await;
    assert_eq!((server.mails().len(), reminders(&server)), (1, 0));
    world.tell_after(60).await;
    assert_eq!(reminders(&server), 1);
    world.expect_comment(2, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_pause_that_a_clock_ahead_of_ours_wrote_down_holds_no_channel() {
    let busy = Reply::text(429, "rate_limited").and_header("retry-after", "7200");
    let slack = Receiver::start(vec![busy, Reply::text(200, "ok")]).await;
    let mut world = slacking(&slack, &[]).await;
    world.clock_jumps(30 * 86_400);
    world.stage("1").await;
    world.tell().await;
    assert_eq!(slack.arrived().len(), 1);
    world.clock_jumps(-30 * 86_400);
    world.restart(Disk::Kept).await;
    world.tell().await;
    assert_eq!((slack.arrived().len(), world.receipts(1)), (2, vec!["speech_balloon".to_owned()]));
    world.finish().await;
}

/// The service runs on while its clock is set right.
#[tokio::test]
async fn what_a_clock_ahead_of_ours_let_others_go_before_waits_no_longer_than_that() {
    let (mut world, server) = mailing(NO_ALARM).await;
    // A match that nobody knows of whether it arrived, and a reminder that failed.
    for is_reminder in [false, true] {
        world.clock_jumps(30 * 86_400);
        if is_reminder {
            world.clock.advance(Duration::from_secs(2 * DAY * 60));
            server.set_mood(Mood::Busy);
            world.tell().await;
        } else {
            world.stage("1").await;
            server.set_mood(Mood::GoneAfterMessage);
            for _ in 0..3 {
                world.tell_after(1).await;
            }
        }
        world.clock_jumps(-30 * 86_400);
        let before = server.mails().len();
        server.set_mood(Mood::Fine);
        world.tell_after(1).await;
        assert_eq!(server.mails().len(), before + 1, "{:?}", subjects(&server));
    }
    assert_eq!(reminders(&server), 1);
    world.expect_comment(2, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_pause_that_was_asked_for_is_kept_though_gitlab_fails_after_a_restart() {
    let busy = Reply::text(429, "rate_limited").and_header("retry-after", "1800");
    let slack = Receiver::start(vec![busy, Reply::text(200, "ok")]).await;
    let mut world = slacking(&slack, &[]).await;
    world.stage("1").await;
    world.tell().await;
    world.kill(Disk::Kept).await;
    world.start().await;
    world.engine.delta().await.unwrap();
    let fault = Fault::new(Method::GET, "my_reaction_emoji", Trouble::status(503));
    world.sandbox.fault(fault.times(20));
    world.tell().await;
    world.sandbox.clear_faults();
    world.tell_after(5).await;
    assert_eq!(slack.arrived().len(), 1);
    world.tell_after(25).await;
    assert_eq!(slack.arrived().len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn after_days_of_outage_reminders_still_come_once_a_day() {
    let (mut world, server) = mailing("language: en\nquiet_alarm_after: off\nbatch: {max: 1}\n").await;
    for id in ["1", "2", "3"] {
        world.stage(id).await;
    }
    world.tell().await;
    server.set_mood(Mood::Busy);
    world.tell_after(2 * DAY).await;
    for _ in 0..3 {
        world.tell_after(DAY + 1).await;
    }
    server.set_mood(Mood::Fine);
    for day in 1..=3 {
        for _ in 0..3 {
            world.tell_after(120).await;
        }
        assert_eq!(reminders(&server), day, "{:?}", subjects(&server));
        let (_, answer) = world.get("/api/v1/matches/3").await;
        let is_owed = |one: &&Value| one["kind"] == "reminder" && one["outcome"] != "sent";
        let owed = answer["deliveries"].as_array().unwrap().iter().find(is_owed);
        assert_eq!(owed.is_some(), day < 3, "{answer}");
        assert!(owed.is_none_or(|owed| owed["deferred_until"].is_string()), "{answer}");
        world.tell_after(DAY - 360).await;
    }
    world.expect_comment(4, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn no_alarm_says_that_it_is_quiet_once_a_match_has_come() {
    let (world, server) = mailing("language: en\nremind_after: off\n").await;
    world.tell().await;
    server.set_mood(Mood::GoneAfterMessage);
    world.tell_after(3 * DAY).await;
    assert_eq!(subjects(&server), ["No new match for 3 days"]);
    world.stage("1").await;
    server.set_mood(Mood::Fine);
    world.tell_after(1).await;
    world.tell_after(60).await;
    assert_eq!(subjects(&server)[1..], [single("1")]);
    world.finish().await;
}

/// Killed between the two writes by which it is laid aside or taken up, it is both under way and laid aside.
#[tokio::test]
async fn an_alarm_that_a_kill_left_twice_goes_once() {
    let (mut world, server) = mailing("language: en\nremind_after: off\n").await;
    world.tell().await;
    server.set_mood(Mood::GoneAfterMessage);
    world.tell_after(3 * DAY).await;
    assert_eq!(subjects(&server), ["No new match for 3 days"]);
    world.kill(Disk::Kept).await;
    world.spoil_mirror(
        "INSERT INTO facts (name, value) SELECT 'flight laid aside email', value FROM facts WHERE name = 'flight email'",
    );
    server.set_mood(Mood::Fine);
    world.restart(Disk::Kept).await;
    world.tell_after(1).await;
    world.tell_after(60).await;
    // Nobody knows whether the first has arrived: it came again, and no third time.
    assert_eq!(server.mails().len(), 2, "{:?}", subjects(&server));
    world.expect_comment(1, "when it last sent a digest");
    world.finish().await;
}

/// It is planned before a digest's time and nobody knows whether it arrived until after that.
#[tokio::test]
async fn what_came_after_a_digest_that_is_repeated_goes_at_its_own_time() {
    let (mut world, server) = mailing(DIGESTS).await;
    world.clock.advance(Duration::from_secs(1));
    world.stage("1").await;
    world.clock.advance(Duration::from_secs(4 * 3600 - 6));
    server.set_mood(Mood::GoneAfterMessage);
    world.tell().await;
    assert_eq!(subjects(&server), [single("1")]);
    world.clock.advance(Duration::from_secs(1));
    world.stage("2").await;
    server.set_mood(Mood::Fine);
    world.clock.advance(Duration::from_secs(10));
    world.tell().await;
    assert_eq!(subjects(&server), [single("1"), single("1"), single("2")]);
    world.expect_comment(3, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_match_that_was_withdrawn_or_erased_has_come_all_the_same() {
    for is_erased in [false, true] {
        let (mut world, server) = mailing("language: en\nremind_after: off\n").await;
        world.stage("1").await;
        world.tell().await;
        world.clock.advance(Duration::from_secs(2 * 86_400));
        let newest = world.stage("2").await;
        world.tell().await;
        if is_erased {
            world.engine.erase(newest).await.unwrap();
            world.settle().await;
        } else {
            world.reviewer().relabel(newest, &[], &["job-match"]).unwrap();
            world.settle().await;
        }
        world.tell_after(2 * DAY).await;
        assert_eq!(server.mails().len(), 2, "{:?}", subjects(&server));
        world.tell_after(DAY).await;
        assert_eq!(subjects(&server)[2..], ["No new match for 3 days"]);
        world.expect_comment(3, "when it last sent a digest");
    }
}

/// The other side may word every refusal otherwise.
#[tokio::test]
async fn people_are_told_once_a_day_of_a_channel_whose_refusals_are_never_the_same() {
    let refused = |word: &str| Reply::text(403, word);
    let slack = Receiver::start(vec![refused("action_prohibited"), refused("team_disabled")]).await;
    let mut world = slacking(&slack, &[]).await;
    world.stage("1").await;
    world.tell().await;
    world.restart(Disk::Wiped).await;
    world.tell().await;
    assert_eq!(slack.arrived().len(), 2);
    world.expect_comment(1, "A message by slack did not arrive");
    world.finish().await;
}

#[tokio::test]
async fn a_complaint_leaves_the_reviewers_todo_where_the_token_is_their_own() {
    let probe = World::asleep(Difference::default()).await;
    let token: &'static str = kept(probe.sandbox.token("reviewer"));
    let slack = Receiver::start(vec![Reply::text(404, "no_service")]).await;
    let world = slacking(&slack, &[("GITLAB_TOKEN", token), ("REVIEWERS", "reviewer")]).await;
    let iid = world.stage("1").await;
    let todos = || {
        let of_it = |todo: &&vorhoelle::sandbox::Todo| todo.iid == iid && todo.pending;
        world.sandbox.as_user("reviewer").todos().iter().filter(of_it).count()
    };
    assert_eq!(todos(), 1);
    world.tell().await;
    let comments = world.sandbox.world().comments_of(iid).len();
    assert_eq!((comments, todos()), (1, 1));
}

#[tokio::test]
async fn a_draft_and_an_explanation_leave_the_reviewers_todo_where_the_token_is_their_own() {
    let probe = World::asleep(Difference::default()).await;
    let token: &'static str = kept(probe.sandbox.token("reviewer"));
    let world = World::set(&[("GITLAB_TOKEN", token), ("REVIEWERS", "reviewer")]).await;
    let iid = world.stage("1").await;
    let todos = || {
        let of_it = |todo: &&vorhoelle::sandbox::Todo| todo.iid == iid && todo.pending;
        world.sandbox.as_user("reviewer").todos().iter().filter(of_it).count()
    };
    let last =
        || world.sandbox.world().comments_of(iid).last().map(|note| (note.id, note.body.clone())).unwrap();
    assert_eq!(todos(), 1);
    let draft = json!({"subject": "Cloud Architect", "body": "Dear Clara"});
    let url = world.url(&format!("/api/v1/matches/{iid}/draft"));
    assert_eq!(world.call(world.http.put(url).json(&draft)).await.0, StatusCode::CREATED);
    world.settle().await;
    assert_eq!(todos(), 1, "after the draft");
    world.person("owner").relabel(iid, &["job-match/sent"], &[]).unwrap();
    world.settle().await;
    world.expect_labels(iid, "pending");
    assert!(last().1.contains("no step"), "{}", last().1);
    assert_eq!(todos(), 1, "after a step that there is not");
    let url = world.url(&format!("/api/v1/matches/{iid}/application"));
    assert_eq!(world.call(world.http.patch(url).json(&json!({"stage": "applied"}))).await.0, StatusCode::OK);
    world.settle().await;
    let (note, table) = last();
    assert!(table.contains("| Stage | applied |"), "{table}");
    world.clock.advance(Duration::from_secs(60));
    let edited = table.replace("| Stage | applied |", "| Stage | hired |");
    world.person("owner").edit_comment(iid, note, &edited).unwrap();
    world.settle().await;
    assert!(last().1.contains("cannot be read"), "{}", last().1);
    assert_eq!(todos(), 1, "after a cell that nobody can read");
}

/// Nothing is told of a webhook that was lost.
#[tokio::test]
async fn what_was_decided_and_taken_back_unheard_does_not_expire() {
    let file = "language: en\nexpire_after: 3d\nremind_after: off\nquiet_alarm_after: off\n";
    let (world, _server) = mailing(file).await;
    let iid = world.stage("1").await;
    world.tell().await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.tell_after(2 * DAY).await;
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.tell_after(1).await;
    world.reviewer().relabel(iid, &["job-match/pending"], &["job-match/approved"]).unwrap();
    world.tell_after(2 * DAY).await;
    world.expect(iid, "pending").await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    assert_eq!(answer["history"].as_array().unwrap().len(), 2, "{answer}");
    world.finish().await;
}
