//! Stories of messages when something is in the way: a backlog, a receiver that does not answer, refused recipients.

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

use mailing::{channel, delivery, ids, kept, mailing, mailing_to, mailing_with, parsed, single, subjects};
use receivers::{Receiver, Reply, slow_slack};
use reqwest::StatusCode;
use serde_json::{Value, json};
use smtp::{MailServer, Mood};
use support::{Difference, Disk, World, job};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const ENGLISH: &str = "language: en\n";

async fn stage_urgent(world: &World, id: &str) {
    let mut urgent = job(id);
    urgent["score"] = 98.into();
    assert_eq!(world.post(&urgent).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_backlog_made_minutes_ago_is_one_digest_and_what_is_staged_then_goes_at_once() {
    let (mut world, server) = mailing(ENGLISH).await;
    for id in 0..21 {
        world.stage(&id.to_string()).await;
    }
    world.restart(Disk::Wiped).await;
    world.tell().await;
    assert_eq!(subjects(&server).len(), 1);
    assert!(subjects(&server)[0].starts_with("20 new matches"), "{:?}", subjects(&server));
    // A restart in between forgets nothing of that.
    world.restart(Disk::Kept).await;
    world.tell_after(1).await;
    assert_eq!(subjects(&server).len(), 1);
    world.stage("new").await;
    world.tell().await;
    assert_eq!(subjects(&server)[1..], [single("new")]);
    world.tell_after(61).await;
    assert_eq!(server.mails().len(), 3);
    world.expect_comment(22, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn the_first_digest_waits_for_what_was_adopted_meanwhile() {
    let (mut world, server) = mailing(ENGLISH).await;
    world.stage("1").await;
    world.kill(Disk::Wiped).await;
    world.person("owner").create_issue("Found by hand", "x", &["job-match"]).unwrap();
    world.start().await;
    world.engine.delta().await.unwrap();
    world.notifier.tick().await;
    assert_eq!(server.mails().len(), 0, "an issue still waits to be looked at");
    world.tell().await;
    assert!(subjects(&server)[0].starts_with("2 new matches"), "{:?}", subjects(&server));
    world.expect_comment(3, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn what_is_held_says_until_when_and_why() {
    let (mut world, server) = mailing("language: en\nbatch: {mode: digest, every: 2h, max: 1}\n").await;
    world.stage("1").await;
    world.stage("2").await;
    world.tell().await;
    assert_eq!(server.mails().len(), 1);
    // There was no room for it in the last digest.
    let held = delivery(&world, 2).await;
    assert_eq!(
        (&held["deferred_until"], &held["reason"]),
        (&json!("2026-11-23T10:00:00Z"), &json!("digest"))
    );
    let health = channel(&world).await;
    assert_eq!((&health["deferred_until"], &health["reason"]), (&held["deferred_until"], &held["reason"]));
    server.set_mood(Mood::Busy);
    world.tell_after(120).await;
    let third = world.stage("3").await;
    let (failed, waits, health) =
        (delivery(&world, 2).await, delivery(&world, third).await, channel(&world).await);
    let now = world.clock.now().to_string();
    for one in [&failed, &waits, &health] {
        assert!(one["deferred_until"].as_str().is_some_and(|until| until > now.as_str()), "{one} at {now}");
    }
    assert_eq!((&failed["outcome"], &health["reason"]), (&json!("failed"), &json!("channel_failing")));
    server.set_mood(Mood::Fine);
    world.tell_after(1).await;
    world.tell_after(240).await;
    world.tell_after(240).await;
    world.expect_comment(3, "when it last sent a digest");
}

#[tokio::test]
async fn a_reminder_stands_below_the_digest_that_told_of_the_match() {
    let (mut world, server) = mailing("language: en\nbatch: {mode: digest, at: [\"10:00\"]}\n").await;
    world.stage("1").await;
    world.stage("2").await;
    world.tell_after(120).await;
    world.tell_after(2 * 24 * 60).await;
    let digest = ids(&server)[0].clone();
    let mails = server.mails();
    let reminder = parsed(&mails[1].message);
    assert_eq!(reminder.in_reply_to().as_text(), Some(digest.as_str()));
    assert_eq!(reminder.references().as_text(), Some(digest.as_str()));
    world.expect_comment(3, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_receiver_that_never_says_yes_gets_a_message_three_times_and_then_others_go_first() {
    let (world, server) = mailing(ENGLISH).await;
    server.set_mood(Mood::GoneAfterMessage);
    world.stage("1").await;
    world.tell().await;
    world.tell_after(1).await;
    world.tell_after(1).await;
    world.tell_after(1).await;
    assert_eq!(server.mails().len(), 3);
    let error = channel(&world).await["error"].to_string();
    assert!(error.contains("match 1") && error.contains("set aside"), "{error}");
    assert_eq!(delivery(&world, 1).await["outcome"], "failed");
    server.set_mood(Mood::Fine);
    world.stage("2").await;
    world.tell_after(1).await;
    assert_eq!(subjects(&server)[3..], [single("2")]);
    world.tell_after(61).await;
    let ids = ids(&server);
    assert_eq!((ids.len(), &ids[4]), (5, &ids[0]));
    world.finish().await;
}

#[tokio::test]
async fn a_refused_reminder_lets_new_matches_go_first() {
    let (mut world, server) = mailing_to(ENGLISH, "nobody@example.com").await;
    world.stage("1").await;
    world.tell().await;
    server.set_mood(Mood::Picky);
    world.tell_after(2 * 24 * 60).await;
    world.expect_comment(1, "A message by email did not arrive");
    server.set_mood(Mood::Fine);
    world.stage("2").await;
    world.clock.advance(Duration::from_secs(6));
    world.tell().await;
    let subjects = subjects(&server);
    assert_eq!(subjects[..2], [single("1"), single("2")]);
    assert!(subjects[2].starts_with("Reminder"), "{subjects:?}");
    world.expect_comment(3, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn one_refused_recipient_is_a_failure_that_is_said_though_the_match_is_told() {
    let (mut world, server) = mailing_to(ENGLISH, "nobody@example.com,anna@example.com").await;
    server.set_mood(Mood::Picky);
    world.stage("1").await;
    world.tell().await;
    assert_eq!((server.mails().len(), world.receipts(1)), (1, vec!["e-mail".to_owned()]));
    assert_eq!(delivery(&world, 1).await["outcome"], "sent");
    let health = channel(&world).await;
    assert_eq!(health["status"], "failing");
    assert!(health["error"].as_str().unwrap().contains("address 1 of VORHOELLE_MAIL_TO"), "{health}");
    world.expect_comment(1, "address 1 of");
    let (_, answer) = world.call(world.http.post(world.url("/api/v1/notify/test"))).await;
    assert_eq!(answer["results"][0]["outcome"], "failed", "{answer}");
    server.set_mood(Mood::Fine);
    world.stage("2").await;
    world.tell().await;
    assert_eq!(channel(&world).await["status"], "ok");
    world.finish().await;
}

#[tokio::test]
async fn a_match_whose_label_is_looked_at_first_blames_no_channel() {
    let (mut world, server) = mailing(ENGLISH).await;
    world.stage("1").await;
    world.sandbox.hook_mode(vorhoelle::sandbox::HookMode::Lose);
    world.reviewer().relabel(1, &["job-match/sent"], &[]).unwrap();
    world.notifier.tick().await;
    assert_eq!(server.mails().len(), 0);
    let held = delivery(&world, 1).await;
    assert_eq!((&held["outcome"], &held["reason"]), (&json!("deferred"), &json!("state_in_doubt")), "{held}");
    world.settle().await;
    world.expect_comment(1, "There is no step");
    world.tell_after(1).await;
    assert_eq!(server.mails().len(), 1);
    world.finish().await;
}

/// With a reminder that is due as well: it waits too, and nothing is asked again and again meanwhile.
#[tokio::test]
async fn a_reminder_of_a_match_whose_label_is_looked_at_first_waits() {
    let (mut world, server) = mailing("language: en\nquiet_alarm_after: off\n").await;
    world.stage("1").await;
    world.tell().await;
    world.sandbox.hook_mode(vorhoelle::sandbox::HookMode::Lose);
    world.clock.advance(Duration::from_secs(2 * 24 * 3600));
    world.reviewer().relabel(1, &["job-match/sent"], &[]).unwrap();
    let told = tokio::time::timeout(Duration::from_secs(10), world.notifier.tick()).await;
    told.expect("a turn ends although the match is not looked at yet");
    assert_eq!(server.mails().len(), 1);
    let (_, answer) = world.get("/api/v1/matches/1").await;
    let is_reminder = |one: &&Value| one["kind"] == "reminder";
    let held = answer["deliveries"].as_array().unwrap().iter().find(is_reminder).unwrap();
    assert_eq!((&held["outcome"], &held["reason"]), (&json!("deferred"), &json!("state_in_doubt")), "{held}");
    world.settle().await;
    world.expect_comment(1, "There is no step");
    world.tell_after(1).await;
    assert!(subjects(&server)[1].starts_with("Reminder"), "{:?}", subjects(&server));
    world.expect_comment(2, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_recipient_who_is_put_off_for_hours_holds_up_nobody_elses_mail_and_gets_theirs() {
    let (mut world, server) = mailing_to(ENGLISH, "nobody@example.com,anna@example.com").await;
    server.set_mood(Mood::Full);
    let to = |server: &MailServer| server.mails().into_iter().flat_map(|mail| mail.to).collect::<Vec<_>>();
    world.stage("1").await;
    world.tell().await;
    assert_eq!(to(&server), ["anna@example.com"]);
    world.stage("2").await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(60));
        world.tell().await;
    }
    assert_eq!(to(&server), ["anna@example.com"; 2], "the second match goes past the first");
    let waits = delivery(&world, 1).await;
    assert!(waits["reason"].as_str().unwrap().contains("has not reached everybody"), "{waits}");
    assert!(waits["deferred_until"].is_string(), "{waits}");
    // A restart forgets nobody, in whatever order the list stands by then.
    world.set_variable("MAIL_TO", "anna@example.com,nobody@example.com");
    world.restart(Disk::Kept).await;
    world.tell().await;
    server.set_mood(Mood::Fine);
    for _ in 0..4 {
        world.clock.advance(Duration::from_secs(2 * 3600));
        world.tell().await;
    }
    let mut all = to(&server);
    all.sort_unstable();
    assert_eq!(all, ["anna@example.com", "anna@example.com", "nobody@example.com", "nobody@example.com"]);
    assert_eq!(
        (world.receipts(1), world.receipts(2)),
        (vec!["e-mail".to_owned()], vec!["e-mail".to_owned()])
    );
    assert_eq!(channel(&world).await["status"], "ok");
    world.finish().await;
}

#[tokio::test]
async fn a_reminder_that_one_channel_owes_survives_a_restart() {
    let busy = Reply::text(429, "rate_limited").and_header("retry-after", "120");
    let slack = Receiver::start(vec![Reply::text(200, "ok"), busy, Reply::text(200, "ok")]).await;
    let url = kept(format!("{}/services/T0/B0/x", slack.url));
    let (mut world, server) = mailing_with(ENGLISH, "anna@example.com", &[("SLACK_WEBHOOK_URL", url)]).await;
    world.stage("1").await;
    world.tell().await;
    world.tell_after(2 * 24 * 60).await;
    assert_eq!((server.mails().len(), slack.arrived().len()), (2, 2));
    assert!(world.receipts(1).contains(&"alarm_clock".to_owned()));
    world.restart(Disk::Kept).await;
    // Nor is the pause that was asked for forgotten.
    world.tell_after(1).await;
    assert_eq!((server.mails().len(), slack.arrived().len()), (2, 2));
    let (_, answer) = world.get("/api/v1/matches/1").await;
    let is_owed = |one: &&Value| one["channel"] == "slack" && one["kind"] == "reminder";
    let owed = answer["deliveries"].as_array().unwrap().iter().find(is_owed).unwrap();
    assert_eq!(
        (&owed["outcome"], &owed["deferred_until"]),
        (&json!("failed"), &json!("2026-11-25T08:02:00Z"))
    );
    world.tell_after(2).await;
    assert_eq!((server.mails().len(), slack.arrived().len()), (2, 3));
    world.expect_comment(2, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_channel_that_is_given_up_is_said_once_although_the_disk_was_lost() {
    let slack = Receiver::start(vec![Reply::text(404, "no_service"); 9]).await;
    let variables = vec![("SLACK_WEBHOOK_URL", kept(format!("{}/services/T0/B0/x", slack.url)))];
    let mut world = World::with(Difference { variables, file: Some(ENGLISH), ..Difference::default() }).await;
    world.stage("1").await;
    world.tell().await;
    world.restart(Disk::Wiped).await;
    world.tell_after(60).await;
    assert!(slack.arrived().len() >= 2);
    world.expect_comment(1, "A message by slack did not arrive");
    world.finish().await;
}

#[tokio::test]
async fn a_peer_that_asks_for_no_pause_gets_one_all_the_same() {
    let hasty = || Reply::text(429, "rate_limited").and_header("retry-after", "0");
    let slack = Receiver::start(vec![hasty(), hasty(), hasty(), Reply::text(200, "ok")]).await;
    let variables = vec![("SLACK_WEBHOOK_URL", kept(format!("{}/services/T0/B0/x", slack.url)))];
    let world = World::with(Difference { variables, file: Some(ENGLISH), ..Difference::default() }).await;
    world.stage("1").await;
    world.tell().await;
    world.tell().await;
    assert_eq!(slack.arrived().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn reminders_fit_into_one_message_and_the_rest_comes_on_the_next_day() {
    let (mut world, server) = mailing("language: en\nbatch: {max: 2}\nquiet_alarm_after: off\n").await;
    for id in ["1", "2", "3"] {
        world.stage(id).await;
    }
    world.tell().await;
    world.tell_after(2 * 24 * 60).await;
    world.tell_after(60).await;
    assert_eq!(subjects(&server)[3..], ["Reminder: 2 matches wait for your decision"]);
    world.tell_after(24 * 60).await;
    assert_eq!(server.mails().len(), 5);
    assert!(subjects(&server)[4].contains("Cloud Architect 3"), "{:?}", subjects(&server));
    world.expect_comment(4, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn what_is_urgent_goes_past_a_message_that_waits_for_the_end_of_quiet_hours() {
    let file =
        "language: en\nquiet_hours: {from: \"08:30\", to: \"10:00\", timezone: UTC, urgent_score: 98}\n";
    let (world, server) = mailing(file).await;
    server.set_mood(Mood::GoneAfterMessage);
    world.stage("1").await;
    world.tell().await;
    assert_eq!(server.mails().len(), 1);
    server.set_mood(Mood::Fine);
    world.clock.advance(Duration::from_secs(31 * 60));
    stage_urgent(&world, "2").await;
    world.tell().await;
    assert_eq!(server.mails().len(), 2);
    assert!(subjects(&server)[1].starts_with("[98 %]"));
    world.tell_after(90).await;
    let ids = ids(&server);
    assert_eq!((ids.len(), &ids[2]), (3, &ids[0]));
    world.finish().await;
}

/// One has it; the other one's mail server asks to come back later, as many do of whom they do not know.
#[tokio::test]
async fn what_is_urgent_reaches_the_last_recipient_in_quiet_hours_too() {
    let file =
        "language: en\nquiet_hours: {from: \"08:00\", to: \"10:00\", timezone: UTC, urgent_score: 98}\n";
    let (world, server) = mailing_to(file, "anna@example.com,nobody@example.com").await;
    server.set_mood(Mood::Full);
    stage_urgent(&world, "1").await;
    for _ in 0..4 {
        world.tell_after(1).await;
    }
    assert_eq!(server.mails().len(), 1);
    server.set_mood(Mood::Fine);
    world.tell_after(30).await;
    assert_eq!(server.mails().len(), 2, "it is a quarter to nine, and quiet until ten");
    world.finish().await;
}

/// It was due to be reminded of while it was quiet; then it was decided about, and that was undone.
#[tokio::test]
async fn a_reminder_that_was_held_waits_anew_after_a_decision_and_its_undoing() {
    let file = "language: en\nremind_after: 30h\nquiet_alarm_after: off\n\
                quiet_hours: {from: \"23:00\", to: \"07:00\", timezone: UTC}\n";
    let (mut world, server) = mailing(file).await;
    world.clock.advance(Duration::from_secs(14 * 3600));
    world.stage("1").await;
    world.tell().await;
    world.tell_after(30 * 60 + 5).await;
    assert_eq!(server.mails().len(), 1, "it is five past four in the morning");
    for (on, off) in [("rejected", "pending"), ("pending", "rejected")] {
        world.reviewer().relabel(1, &[&format!("job-match/{on}")], &[&format!("job-match/{off}")]).unwrap();
        world.settle().await;
    }
    world.tell_after(3 * 60).await;
    assert_eq!(server.mails().len(), 1, "it has waited for three hours");
    world.tell_after(30 * 60).await;
    assert!(
        subjects(&server)[1].contains("[97 %] Cloud Architect 1 – Amoria Bond waits"),
        "{:?}",
        subjects(&server)
    );
    world.expect_comment(2, "when it last sent a digest");
    world.finish().await;
}

/// It was due while it was quiet, or left without anybody knowing whether it arrived; then nobody was to be reminded any more.
#[tokio::test]
async fn a_reminder_that_was_held_does_not_go_once_reminders_are_off() {
    let file = "language: en\nremind_after: 30h\nquiet_alarm_after: off\n\
                quiet_hours: {from: \"23:00\", to: \"07:00\", timezone: UTC}\n";
    for is_under_way in [false, true] {
        let (mut world, server) = mailing(file).await;
        world.clock.advance(Duration::from_secs(if is_under_way { 0 } else { 14 * 3600 }));
        world.stage("1").await;
        world.tell().await;
        server.set_mood(Mood::GoneAfterMessage);
        world.tell_after(30 * 60 + 5).await;
        server.set_mood(Mood::Fine);
        let before = server.mails().len();
        assert_eq!(
            before,
            if is_under_way { 2 } else { 1 },
            "it is five past two, or past four in the morning"
        );
        let remind_after = |after: &str| {
            world.http.patch(world.url("/api/v1/config")).json(&json!({ "remind_after": after }))
        };
        assert_eq!(world.call(remind_after("off")).await.0, StatusCode::OK);
        world.tell_after(4 * 60).await;
        assert_eq!(server.mails().len(), before);
        let (_, shown) = world.get("/api/v1/matches/1").await;
        let held = shown["deliveries"].as_array().unwrap().iter().any(|one| one["outcome"] == "deferred");
        assert!(!held, "{shown}");
        assert_eq!(world.call(remind_after("30h")).await.0, StatusCode::OK);
        world.tell_after(24 * 60).await;
        assert!(subjects(&server)[before].contains("[97 %] Cloud Architect 1 – Amoria Bond waits"));
        world.expect_comment(2, "when it last sent a digest");
        world.finish().await;
    }
}

/// It left at twenty past eight, and nobody knows whether it arrived; it is quiet from half past eight.
#[tokio::test]
async fn a_reminder_waits_for_the_end_of_quiet_hours_although_its_match_is_urgent() {
    let file = "language: en\nremind_after: 1d\nquiet_alarm_after: off\n\
                quiet_hours: {from: \"08:30\", to: \"10:00\", timezone: UTC, urgent_score: 98}\n";
    let (mut world, server) = mailing(file).await;
    world.clock.advance(Duration::from_secs(20 * 60));
    stage_urgent(&world, "1").await;
    world.tell().await;
    server.set_mood(Mood::GoneAfterMessage);
    world.tell_after(24 * 60).await;
    assert_eq!(server.mails().len(), 2);
    server.set_mood(Mood::Fine);
    world.tell_after(15).await;
    assert_eq!(server.mails().len(), 2, "it is quiet");
    world.tell_after(90).await;
    assert_eq!((server.mails().len(), &subjects(&server)[1]), (3, &subjects(&server)[2]));
    world.expect_comment(2, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_stop_lets_a_message_on_its_way_come_to_its_end() {
    let (url, has_arrived, let_go) = slow_slack().await;
    let variables = vec![("SLACK_WEBHOOK_URL", kept(url))];
    // The clock runs fast while the message is under way.
    let file = "language: en\nremind_after: off\nquiet_alarm_after: off\n";
    let mut world = World::with(Difference { variables, file: Some(file), ..Difference::default() }).await;
    world.stage("1").await;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    world.notifier.start(&tasks, &stop);
    has_arrived.await.unwrap();
    stop.cancel();
    let_go.send(()).unwrap();
    tasks.close();
    tasks.wait().await;
    assert_eq!(world.receipts(1), ["speech_balloon"]);
    // Nobody would take it a second time.
    world.restart(Disk::Kept).await;
    world.tell_after(60).await;
    assert_eq!(delivery(&world, 1).await["outcome"], "sent");
    assert_eq!(world.get("/health").await.1["channels"][1]["status"], "ok");
    world.finish().await;
}
