//! Drafts: what is wrong with one is named, and nobody's edit is overwritten or sent unseen.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use vorhoelle::domain::history::Through;
use vorhoelle::outgoing::DraftInput;
use vorhoelle::sandbox::{Fault, Trouble};

use super::support::{Disk, job};
use super::{approved, desk, drafted, letter, note_with, put, send};

#[tokio::test]
async fn what_is_wrong_with_a_draft_is_named() {
    let (world, _) = desk().await;
    let iid = approved(&world, "1").await;
    let cases = [
        (json!({"to": "nobody", "subject": "x", "body": "y"}), "to"),
        (json!({"subject": "", "body": "y"}), "subject"),
        (json!({"subject": "x", "body": " "}), "body"),
        (json!({"subject": "x", "body": "y", "attachments": ["cv.pdf"]}), "attachments[0]"),
        (json!({"subject": "x", "body": "y", "attachments": ["../secret"]}), "attachments[0]"),
    ];
    for (body, field) in cases {
        let (status, answer) = put(&world, iid, &body, None).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
    }
    // Everything at once, what is missing too.
    for body in [json!({"to": "nobody"}), json!({"to": "nobody", "subject": null, "body": ""})] {
        let (status, answer) = put(&world, iid, &body, None).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        let fields: Vec<&str> =
            answer["errors"].as_array().unwrap().iter().map(|one| one["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["to", "subject", "body"], "{answer}");
    }
    let (status, answer) = put(&world, iid, &json!({"subject": "x", "body": "y", "cc": "z"}), None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer["errors"][0]["field"], "cc", "{answer}");
    assert_eq!(put(&world, 999, &letter(), None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.get(&format!("/api/v1/matches/{iid}/draft")).await.0, StatusCode::NOT_FOUND);
    // A token below Reporter may not read the repository.
    world.sandbox.world().files.insert("cv.pdf".into(), vec![0]);
    world.sandbox.world().set_role("bot", Some(vorhoelle::sandbox::Role::Planner));
    let (status, answer) =
        put(&world, iid, &json!({"subject": "x", "body": "y", "attachments": ["cv.pdf"]}), None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("Reporter"), "{answer}");
    world.finish().await;
}

/// GitLab does not show the mark that ends a draft: whoever writes on at the end of the comment means the letter.
#[tokio::test]
async fn what_people_write_at_the_end_of_a_drafts_comment_is_sent() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    let draft = world.get(&format!("/api/v1/matches/{iid}/draft")).await.1;
    let (note, body) = note_with(&world, iid, "Draft of the application");
    world.reviewer().edit_comment(iid, note, &format!("{body}\n\nPS: I could **begin** in May.\n")).unwrap();
    world.settle().await;
    let read = world.get(&format!("/api/v1/matches/{iid}/draft")).await.1;
    let expected = format!("{}\n\nPS: I could **begin** in May.", draft["body"].as_str().unwrap());
    assert_eq!(read["body"], expected);
    assert_ne!(read["etag"], draft["etag"]);
    assert_eq!(put(&world, iid, &letter(), None).await.0, StatusCode::PRECONDITION_REQUIRED);
    let (status, sent) = send(&world, iid, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{sent}");
    world.settle().await;
    world.expect_comment(iid, "sent the application");
    let mails = mails.mails();
    let mail = mail_parser::MessageParser::default().parse(&mails[0].message).unwrap();
    assert!(mail.body_text(0).unwrap().contains("\nPS: I could begin in May."));
    let (_, archive) = note_with(&world, iid, "Exactly this was sent");
    assert!(archive.contains("PS: I could **begin** in May."), "{archive}");
}

/// What GitLab hides, nobody who approved the draft has seen.
#[tokio::test]
async fn a_hidden_comment_in_a_draft_is_not_sent() {
    let (mut world, mails) = desk().await;
    let hidden = "Dear Clara,\n\n<!-- ask for 95, take 80 -->\n\nAnna";
    let iid = drafted(&mut world, "1").await;
    let body = json!({"subject": "Cloud Architect", "body": hidden});
    let (status, answer) = put(&world, iid, &body, Some("*")).await;
    assert_eq!((status, &answer["errors"][0]["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("body")));
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("remove the comment"), "{answer}");
    let (note, body) = note_with(&world, iid, "Draft of the application");
    let edited = body.replace("Kind regards", "<!-- ask for 95 -->\nKind regards");
    world.reviewer().edit_comment(iid, note, &edited).unwrap();
    world.settle().await;
    let (status, answer) = send(&world, iid, json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(answer["errors"][0]["field"], "body", "{answer}");
    assert_eq!(mails.mails().len(), 0);
    world.finish().await;
}

/// The answer got lost, and whoever wrote it writes it once more as they did.
#[tokio::test]
async fn the_same_draft_again_is_no_conflict_though_it_was_read_before_the_first() {
    let (mut world, _) = desk().await;
    let iid = drafted(&mut world, "1").await;
    let read = world.get(&format!("/api/v1/matches/{iid}/draft")).await.1["etag"].clone();
    let read = format!("\"{}\"", read.as_str().unwrap());
    let changed = json!({"to": "clara@agency.example", "subject": "Cloud Architect", "body": "Dear Clara"});
    for _ in 0..2 {
        let (status, answer) = put(&world, iid, &changed, Some(&read)).await;
        assert_eq!((status, &answer["body"]), (StatusCode::OK, &changed["body"]), "{answer}");
    }
    let other = json!({"to": "clara@agency.example", "subject": "Cloud Architect", "body": "Hello"});
    assert_eq!(put(&world, iid, &other, Some(&read)).await.0, StatusCode::PRECONDITION_FAILED);
    world.finish().await;
}

#[tokio::test]
async fn a_contact_that_no_mail_can_reach_is_no_recipient() {
    let (world, _) = desk().await;
    let mut posted = job("1");
    posted["contact"]["email"] = json!("kim@localhost");
    let (status, answer) = world.post(&posted).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    world.settle().await;
    let (status, draft) = put(&world, 1, &json!({"subject": "x", "body": "y"}), None).await;
    assert_eq!((status, &draft["to"]), (StatusCode::CREATED, &json!(null)), "{draft}");
}

#[tokio::test]
async fn attachments_are_found_where_no_head_reaches_gitlab() {
    let (mut world, mails) = desk().await;
    world.sandbox.world().files.insert("cv.pdf".into(), b"%PDF".to_vec());
    let iid = approved(&world, "1").await;
    let mut with_file = letter();
    for status in [405, 501] {
        world.sandbox.fault(Fault::new(Method::HEAD, "/repository/files/", Trouble::status(status)).times(2));
        with_file["attachments"] = json!(["cv.pdf", "no.pdf"]);
        let (status, answer) = put(&world, iid, &with_file, None).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert_eq!(answer["errors"][0]["field"], "attachments[1]", "{answer}");
    }
    world.sandbox.fault(Fault::new(Method::HEAD, "/repository/files/", Trouble::status(405)).times(2));
    with_file["attachments"] = json!(["cv.pdf"]);
    assert_eq!(put(&world, iid, &with_file, None).await.0, StatusCode::CREATED);
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
    assert!(String::from_utf8_lossy(&mails.mails()[0].message).contains("cv.pdf"));
    world.expect_comment(iid, "Exactly this was sent");
    world.expect_comment(iid, "sent the application");
    world.finish().await;
}

#[tokio::test]
async fn a_draft_edited_at_that_very_moment_does_not_leave() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    let (note, body) = note_with(&world, iid, "Draft of the application");
    let person = world.reviewer();
    // The attempt's answer is slow: its comment is there, and nothing else has happened yet.
    world.sandbox.fault(Fault::new(Method::POST, "/notes", Trouble::slow_body(Duration::from_secs(10))));
    let order = send(&world, iid, json!({}));
    let edit = async {
        while world.sandbox.world().comments_of(iid).len() < 2 {
            tokio::task::yield_now().await;
        }
        person.edit_comment(iid, note, &body.replace("ten years", "a year")).unwrap();
        world.sandbox.end_pauses();
    };
    let ((status, answer), ()) = tokio::join!(order, edit);
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(mails.mails().is_empty());
    world.settle().await;
    world.expect_comment(iid, "was withdrawn");
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
    world.expect_comment(iid, "sent the application");
    assert_eq!(mails.mails().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn who_says_which_draft_they_saw_sends_no_other() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    let url = world.url(&format!("/api/v1/matches/{iid}/send"));
    let seen =
        world.get(&format!("/api/v1/matches/{iid}/draft")).await.1["etag"].as_str().unwrap().to_owned();
    let (note, body) = note_with(&world, iid, "Draft of the application");
    world.reviewer().edit_comment(iid, note, &body.replace("ten years", "a year")).unwrap();
    let (status, answer) = world.call(world.http.post(&url).header("if-match", format!("\"{seen}\""))).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{answer}");
    assert_eq!(mails.mails().len(), 0);
    // A tag that cannot be read means no draft that there is.
    let odd = reqwest::header::HeaderValue::from_bytes(b"\"\xe9\"").unwrap();
    let (status, answer) = world.call(world.http.post(&url).header("if-match", odd)).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{answer}");
    assert_eq!(world.comments(iid).len(), 1, "nothing was even begun");
    let now = world.get(&format!("/api/v1/matches/{iid}/draft")).await.1["etag"].as_str().unwrap().to_owned();
    let (status, answer) = world.call(world.http.post(&url).header("if-match", format!("\"{now}\""))).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    // A repeat of that call is answered alike, although the draft is the archive now.
    assert_eq!(world.call(world.http.post(&url).header("if-match", "\"old\"")).await, (status, answer));
    world.settle().await;
    world.expect_comment(iid, "sent the application");
    assert_eq!(mails.mails().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn who_wrote_a_draft_may_write_it_anew_until_a_person_has_edited_it() {
    let (mut world, _) = desk().await;
    let iid = drafted(&mut world, "1").await;
    let with = |body: &str| json!({"to": "clara@agency.example", "subject": "Architect", "body": body});
    assert_eq!(put(&world, iid, &with("second"), None).await.0, StatusCode::OK);
    // Another machine, another disk: who wrote it stands in the comment.
    world.restart(Disk::Wiped).await;
    assert_eq!(put(&world, iid, &with("third"), None).await.0, StatusCode::OK);
    let (note, body) = note_with(&world, iid, "third");
    world.reviewer().edit_comment(iid, note, &body.replace("third", "mine")).unwrap();
    world.settle().await;
    let (status, answer) = put(&world, iid, &with("fourth"), None).await;
    assert_eq!(status, StatusCode::PRECONDITION_REQUIRED, "{answer}");
    assert_eq!(put(&world, iid, &with("fourth"), Some("*")).await.0, StatusCode::OK);
    assert_eq!(put(&world, iid, &with("fifth"), None).await.0, StatusCode::OK);
    // On the page it is a person who writes, by whatever token they came in.
    let input =
        DraftInput { subject: "x".to_owned(), body: "on the page".to_owned(), ..DraftInput::default() };
    let there = world.get(&format!("/api/v1/matches/{iid}/draft")).await.1;
    world.outgoing.put_draft(iid, input, there["etag"].as_str(), "pipeline", Through::Page).await.unwrap();
    assert_eq!(put(&world, iid, &with("sixth"), None).await.0, StatusCode::PRECONDITION_REQUIRED);
    note_with(&world, iid, "on the page");
    world.finish().await;
}

/// GitLab did not take the archive at once.
#[tokio::test]
async fn what_was_edited_after_it_was_sent_is_not_said_to_be_what_was_sent() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    let (note, body) = note_with(&world, iid, "Draft of the application");
    let archive = format!("/notes/{note}");
    world.sandbox.fault(Fault::new(Method::PUT, &archive, Trouble::bad_gateway()).times(9));
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
    world.reviewer().edit_comment(iid, note, &body.replace("ten years", "a year")).unwrap();
    world.sandbox.clear_faults();
    world.clock.advance(Duration::from_secs(300));
    world.outgoing.tick().await;
    world.settle().await;
    let (_, archived) = note_with(&world, iid, "This text was edited after that");
    assert!(archived.contains("a year") && !archived.contains("Exactly this"), "{archived}");
    assert!(String::from_utf8_lossy(&mails.mails()[0].message).contains("ten years"));
    world.expect_comment(iid, "sent the application");
    world.finish().await;
}
