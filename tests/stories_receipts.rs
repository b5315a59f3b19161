//! Stories of receipts: whose reactions are some, and who is told before it is known whose the issues are.

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
#[path = "support/smtp.rs"]
mod smtp;
mod support;

use mailing::{mailing, single, subjects};
use support::Disk;

const NEW_ONLY: &str = "language: en\nremind_after: off\nquiet_alarm_after: off\n";
const NO_ALARM: &str = "language: en\nquiet_alarm_after: off\n";
const DAY: u64 = 24 * 60;

#[tokio::test]
async fn a_persons_reaction_is_no_receipt() {
    for (disk, former) in [(Disk::Kept, None), (Disk::Wiped, None), (Disk::Wiped, Some("99"))] {
        let (mut world, server) = mailing(NO_ALARM).await;
        let iid = world.stage("1").await;
        world.reviewer().react(iid, "e-mail").unwrap();
        world.person("colleague").react(iid, "alarm_clock").unwrap();
        world.settle().await;
        world.kill(disk).await;
        if let Some(former) = former {
            world.set_variable("FORMER_USERS", former);
        }
        world.restart(disk).await;
        world.tell_after(60).await;
        assert_eq!((subjects(&server), world.receipts(iid)), (vec![single("1")], vec!["e-mail".to_owned()]));
        for _ in 0..2 {
            world.restart(disk).await;
            world.tell_after(2 * DAY).await;
            let reminder = subjects(&server)[1..].to_vec();
            assert!(matches!(&reminder[..], [one] if one.starts_with("Reminder")), "{disk:?}: {reminder:?}");
        }
        assert_eq!(world.receipts(iid), ["alarm_clock", "e-mail"]);
        world.expect_comment(2, "when it last sent a digest");
        world.finish().await;
    }
}

#[tokio::test]
async fn nobody_is_told_while_an_earlier_bot_is_not_listed() {
    let (mut world, server) = mailing(NEW_ONLY).await;
    let iid = world.stage("1").await;
    let former = world.sandbox.as_user("bot").id().to_string();
    world.kill(Disk::Wiped).await;
    let token = world.replace_bot();
    world.set_variable("GITLAB_TOKEN", &token);
    world.restart(Disk::Wiped).await;
    world.tell_after(60).await;
    assert_eq!(subjects(&server), [""; 0]);
    assert_eq!(world.get("/health").await.1["unlisted_bots"]["ids"][0].to_string(), former);
    world.set_variable("FORMER_USERS", &former);
    world.restart(Disk::Wiped).await;
    world.tell_after(60).await;
    assert_eq!(subjects(&server), [single("1")]);
    world.expect(iid, "pending").await;
    world.finish().await;
}
