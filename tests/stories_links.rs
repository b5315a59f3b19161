//! Stories of links in messages that decide: opening one changes nothing, its button acts once, a forged, used or old
//! one says what is so instead.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a story that fails, panics")]

#[path = "support/smtp.rs"]
mod smtp;
mod support;

use http::Method;
use mail_parser::MessageParser;
use reqwest::{StatusCode, header};
use serde_json::json;
use smtp::MailServer;
use support::{Difference, Disk, World};
use vorhoelle::sandbox::Outage;

const FILE: &str = "language: en\nremind_after: off\nquiet_alarm_after: off\n";
const PUBLIC: &str = "https://jobs.example/inbox";

/// A world whose service mails links.
async fn linking(more: &[(&'static str, &'static str)]) -> (World, MailServer) {
    let server = MailServer::start(false).await;
    let url: &'static str = Box::leak(format!("smtp://{}", server.address).into_boxed_str());
    let mut variables =
        vec![("SMTP_URL", url), ("MAIL_FROM", "jobs@example.com"), ("MAIL_TO", "anna@example.com")];
    variables.extend_from_slice(&[("PUBLIC_URL", PUBLIC), ("LINK_SECRET", "key-of-the-links-0123456789")]);
    for (name, value) in more {
        variables.retain(|(known, _)| known != name);
        variables.extend((!value.is_empty()).then_some((*name, *value)));
    }
    let world = World::with(Difference { variables, file: Some(FILE), ..Difference::default() }).await;
    (world, server)
}

fn text(server: &MailServer, mail: usize) -> String {
    let mails = server.mails();
    let parsed = MessageParser::default().parse(&mails[mail].message).unwrap();
    parsed.body_text(0).unwrap().into_owned()
}

/// The path of a mail's link that approves or rejects.
fn path(server: &MailServer, mail: usize, action: &str) -> String {
    let text = text(server, mail);
    let all = text.split_whitespace().filter_map(|word| word.strip_prefix(PUBLIC));
    let mut found = all.filter(|path| path.starts_with("/a/") && path.contains(action));
    found.next().unwrap_or_else(|| panic!("no link that would {action} in\n{text}")).to_owned()
}

/// Opens a page without being anybody.
async fn ask(world: &World, method: Method, path: &str, form: &[(&str, &str)]) -> (StatusCode, String) {
    let request = world.http.request(method.clone(), world.url(path)).header(header::ACCEPT_LANGUAGE, "en");
    let request = if method == Method::POST { request.form(form) } else { request };
    let answer = request.send().await.unwrap();
    let status = answer.status();
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(answer.headers()[header::REFERRER_POLICY], "no-referrer");
    (status, answer.text().await.unwrap())
}

#[tokio::test]
async fn opening_a_link_changes_nothing_and_its_button_approves_under_the_channels_name() {
    let (mut world, server) = linking(&[]).await;
    world.stage("1").await;
    world.tell().await;
    let approve = path(&server, 0, "approve");
    assert_ne!(approve, path(&server, 0, "reject"));
    let writes = world.calls_by_bot().len();
    for method in [Method::HEAD, Method::GET, Method::GET, Method::OPTIONS] {
        let (status, page) = ask(&world, method.clone(), &approve, &[]).await;
        if method == Method::GET {
            assert_eq!(status, StatusCode::OK);
            assert!(page.contains("Approve this match?") && page.contains("Cloud Architect 1"), "{page}");
        }
    }
    assert_eq!(world.calls_by_bot().len(), writes, "nothing was asked of GitLab");
    world.expect(1, "pending").await;
    let (status, page) = ask(&world, Method::POST, &approve, &[("comment", "call /close @all")]).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("The match is approved."), "{page}");
    world.settle().await;
    world.expect(1, "approved").await;
    world.expect_comment(1, "link:email");
    let (_, answer) = world.get("/api/v1/matches/1").await;
    let step = &answer["history"][0];
    assert_eq!((&step["by"], &step["through"]), (&json!("link:email"), &json!("link")));
    // Pressed again, opened again: it is done, and says so. The other link says what has happened since.
    let (status, page) = ask(&world, Method::POST, &approve, &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("The match is <span") && page.contains("approved by link:email"), "{page}");
    let (status, page) = ask(&world, Method::POST, &path(&server, 0, "reject"), &[]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(page.contains("decided about since the message was sent"), "{page}");
    world.settle().await;
    world.expect(1, "approved").await;
    world.restart(Disk::Wiped).await;
    let (_, after) = world.get("/api/v1/matches/1").await;
    assert_eq!(after["history"], answer["history"]);
    world.finish().await;
}

#[tokio::test]
async fn a_link_does_not_reverse_what_was_decided_and_taken_back_unheard() {
    let (world, server) = linking(&[]).await;
    let iid = world.stage("1").await;
    world.tell().await;
    let reject = path(&server, 0, "reject");
    world.sandbox.hook_mode(vorhoelle::sandbox::HookMode::Lose);
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.reviewer().relabel(iid, &["job-match/pending"], &["job-match/approved"]).unwrap();
    let (status, page) = ask(&world, Method::POST, &reject, &[]).await;
    assert_eq!(status, StatusCode::CONFLICT, "{page}");
    assert!(page.contains("decided about since the message was sent"), "{page}");
    world.settle().await;
    world.expect(iid, "pending").await;
    // A comment is no decision.
    let commented = world.stage("2").await;
    world.tell().await;
    let approve = path(&server, 1, "approve");
    world.reviewer().comment(commented, "Hm.").unwrap();
    let (status, page) = ask(&world, Method::POST, &approve, &[]).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    world.settle().await;
    world.expect(commented, "approved").await;
}

#[tokio::test]
async fn a_forged_link_and_one_for_another_service_decide_nothing() {
    let (world, server) = linking(&[]).await;
    world.stage("1").await;
    world.stage("2").await;
    world.tell().await;
    let approve = path(&server, 0, "approve");
    let (claim, signature) = approve.rsplit_once('.').unwrap();
    let other = path(&server, 0, "reject");
    let forged = [
        approve.replacen("/a/1.", "/a/2.", 1),
        approve.replacen("/a/2.", "/a/1.", 1),
        approve.replacen("approve", "reject", 1),
        approve.replacen("email", "slack", 1),
        format!("{claim}."),
        format!("{}.{}", claim, &signature[1..]),
        format!("{claim}.{}", other.rsplit_once('.').unwrap().1),
        "/a/1".to_owned(),
        format!("/a/{}", "x".repeat(5_000)),
        "/a/%00".to_owned(),
    ];
    for path in forged.iter().filter(|path| **path != approve) {
        for method in [Method::GET, Method::POST] {
            let (status, page) = ask(&world, method, path, &[]).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(!page.contains("Cloud Architect"), "a forged link shows nothing of a match");
        }
    }
    world.settle().await;
    world.expect(1, "pending").await;
    world.expect(2, "pending").await;
    world.finish().await;
}

#[tokio::test]
async fn an_old_link_and_one_from_before_an_undo_say_what_is_so() {
    let (world, server) = linking(&[]).await;
    world.stage("1").await;
    world.stage("2").await;
    world.tell().await;
    world.clock.advance(std::time::Duration::from_secs(60));
    world.reviewer().relabel(2, &["job-match/rejected"], &["job-match/pending"]).unwrap();
    world.settle().await;
    world.reviewer().reopen(2).unwrap();
    world.settle().await;
    world.expect(2, "pending").await;
    let mails = server.mails().len();
    let of_2 = (0..mails).map(|mail| text(&server, mail)).find_map(|text| {
        let mut words = text.split_whitespace().filter_map(|word| word.strip_prefix(PUBLIC));
        words.find(|path| path.starts_with("/a/2.approve")).map(str::to_owned)
    });
    let (status, page) = ask(&world, Method::POST, &of_2.unwrap(), &[]).await;
    assert_eq!(status, StatusCode::CONFLICT, "somebody looked at it since and put it back: {page}");
    world.clock.advance(std::time::Duration::from_secs(7 * 86_400));
    for method in [Method::GET, Method::POST] {
        let (status, page) = ask(&world, method, &path(&server, 0, "approve"), &[]).await;
        assert_eq!(status, StatusCode::GONE);
        assert!(page.contains("too old to decide") && page.contains("pending"), "{page}");
        assert!(page.contains("/-/issues/1") && !page.contains("Cloud Architect"), "{page}");
    }
    world.settle().await;
    world.expect(1, "pending").await;
    world.expect(2, "pending").await;
}

/// Mails are kept for years: what an old link shows would be shown for as long.
#[tokio::test]
async fn an_old_link_shows_nothing_of_a_match_that_was_decided() {
    let (world, server) = linking(&[]).await;
    let mut job = support::job("1");
    job["contact"] = json!({ "name": "Clara Winter", "email": "clara@agency.example" });
    world.post(&job).await;
    world.settle().await;
    world.tell().await;
    world.reviewer().relabel(1, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.settle().await;
    let approve = path(&server, 0, "approve");
    let shown = ["Cloud Architect", "clara@agency.example", "Amoria Bond", "We need you."];
    let (status, page) = ask(&world, Method::GET, &approve, &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(shown.iter().all(|part| page.contains(part)), "{page}");
    world.clock.advance(std::time::Duration::from_secs(30 * 86_400));
    for method in [Method::GET, Method::POST] {
        let (status, page) = ask(&world, method, &approve, &[]).await;
        assert_eq!(status, StatusCode::GONE);
        assert!(!shown.iter().any(|part| page.contains(part)), "{page}");
        assert!(page.contains("<title>This link is too old to decide."), "{page}");
        assert!(page.contains("approved") && page.contains("/-/issues/1"), "{page}");
    }
    world.expect(1, "approved").await;
}

#[tokio::test]
async fn a_link_sent_in_the_second_of_an_undo_decides_and_one_from_before_it_does_not() {
    let (world, server) = linking(&[]).await;
    world.stage("1").await;
    world.clock.advance(std::time::Duration::from_millis(300));
    world.reviewer().relabel(1, &["job-match/rejected"], &["job-match/pending"]).unwrap();
    world.settle().await;
    world.reviewer().reopen(1).unwrap();
    world.clock.advance(std::time::Duration::from_millis(300));
    world.tell().await;
    let approve = path(&server, 0, "approve");
    // Away and back once more, as soon as people can.
    world.reviewer().relabel(1, &["job-match/rejected"], &["job-match/pending"]).unwrap();
    world.settle().await;
    world.reviewer().reopen(1).unwrap();
    world.settle().await;
    assert_eq!(ask(&world, Method::POST, &approve, &[]).await.0, StatusCode::CONFLICT);
    world.expect(1, "pending").await;
    world.stage("2").await;
    world.reviewer().relabel(2, &["job-match/rejected"], &["job-match/pending"]).unwrap();
    world.settle().await;
    world.reviewer().reopen(2).unwrap();
    world.clock.advance(std::time::Duration::from_millis(300));
    world.tell().await;
    let (status, page) = ask(&world, Method::POST, &path(&server, 1, "approve"), &[]).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    world.settle().await;
    world.expect(2, "approved").await;
}

/// GitLab's clock may be ahead of ours: a message that knows of a decision comes after it.
#[tokio::test]
async fn a_link_decides_although_gitlabs_clock_is_ahead() {
    let (mut world, server) = linking(&[]).await;
    world.clock_jumps(-400);
    world.stage("1").await;
    world.reviewer().relabel(1, &["job-match/rejected"], &["job-match/pending"]).unwrap();
    world.settle().await;
    world.reviewer().reopen(1).unwrap();
    world.tell().await;
    let (status, page) = ask(&world, Method::POST, &path(&server, 0, "approve"), &[]).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    world.settle().await;
    world.expect(1, "approved").await;
    world.expect_comment(1, "link:email");
    world.finish().await;
}

#[tokio::test]
async fn a_decision_in_gitlab_that_was_not_heard_of_yet_wins() {
    let (world, server) = linking(&[]).await;
    world.stage("1").await;
    world.tell().await;
    // No webhook has been worked off when the button is pressed.
    world.reviewer().relabel(1, &["job-match/rejected"], &["job-match/pending"]).unwrap();
    let (status, page) = ask(&world, Method::POST, &path(&server, 0, "approve"), &[]).await;
    assert_eq!(status, StatusCode::CONFLICT, "{page}");
    assert!(page.contains("decided about since") && page.contains("rejected by reviewer"), "{page}");
    world.settle().await;
    world.expect(1, "rejected").await;
    world.finish().await;
}

#[tokio::test]
async fn a_gitlab_that_is_down_is_said_and_the_link_stays_good() {
    let (mut world, server) = linking(&[]).await;
    world.stage("1").await;
    world.tell().await;
    let reject = path(&server, 0, "reject");
    world.sandbox.outage(Outage::BadGateway);
    let (status, page) = ask(&world, Method::GET, &reject, &[]).await;
    assert_eq!((status, page.contains("Reject this match?")), (StatusCode::OK, true));
    let (status, _) = ask(&world, Method::POST, &reject, &[]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    world.sandbox.outage(Outage::None);
    assert_eq!(ask(&world, Method::POST, &reject, &[]).await.0, StatusCode::OK);
    world.settle().await;
    world.expect(1, "rejected").await;
    world.expect_comment(1, "link:email");
    world.finish().await;
}

#[tokio::test]
async fn without_a_key_messages_lead_to_gitlab_only() {
    for missing in ["LINK_SECRET", "PUBLIC_URL"] {
        let (world, server) = linking(&[(missing, "")]).await;
        world.stage("1").await;
        world.tell().await;
        assert!(!text(&server, 0).contains("/a/"), "{missing}");
        assert_eq!(ask(&world, Method::GET, "/a/1.approve.email.1.x", &[]).await.0, StatusCode::NOT_FOUND);
    }
}
