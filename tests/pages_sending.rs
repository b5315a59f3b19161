//! The application's pages over HTTP: a draft that people edit in two places, a button that asks, and what becomes of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "support/smtp.rs"]
mod smtp;
mod support;
#[path = "support/visitor.rs"]
mod visitor;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use smtp::{MailServer, Mood};
use support::{Difference, World, job};
use visitor::{Browser, Page};
use vorhoelle::sandbox::{Fault, Outage, Trouble};

/// A world that can send mails, and somebody who is logged in.
async fn desk() -> (World, MailServer, Browser) {
    let mails = MailServer::start(false).await;
    let address: &'static str = Box::leak(format!("smtp://{}", mails.address).into_boxed_str());
    let variables = vec![
        ("SMTP_URL", address),
        ("MAIL_FROM", "Anna <jobs@example.com>"),
        ("MAIL_TO", "anna@example.com"),
    ];
    let world =
        World::with(Difference { variables, file: Some("language: en\n"), ..Difference::default() }).await;
    let browser = Browser::of(&world).await;
    (world, mails, browser)
}

async fn approved(world: &World, id: &str) -> u64 {
    let iid = world.stage(id).await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    iid
}

const LETTER: [(&str, &str); 4] = [
    ("to", "clara@agency.example"),
    ("subject", "Cloud Architect"),
    ("body", "Dear Clara,\r\n\r\nI bring **ten years** of AWS.\r\n<script>alert(1)</script>"),
    ("attachments", ""),
];

/// What a page's form knows of the draft that it shows.
fn etag(page: &Page) -> String {
    page.between("name=\"etag\" value=\"", "\"").to_owned()
}

/// Saves the letter over the draft that the page shows.
async fn save(browser: &Browser, iid: u64, page: &Page, then: &str, change: (&str, &str)) -> Page {
    let etag = etag(page);
    let letter = LETTER.map(|(name, value)| (name, if name == change.0 { change.1 } else { value }));
    let fields = [&letter[..], &[("etag", etag.as_str()), ("then", then)]].concat();
    browser.post(&format!("/matches/{iid}/draft"), &fields).await
}

/// A draft on an approved match, and the page that asks whether to send it.
async fn asked(browser: &Browser, iid: u64) -> Page {
    let page = browser.get(&format!("/matches/{iid}/draft")).await;
    let saved = save(browser, iid, &page, "send", ("", "")).await;
    assert_eq!(saved.location, format!("/matches/{iid}/send"), "{}", saved.html);
    browser.get(&saved.location).await
}

async fn send(world: &World, browser: &Browser, iid: u64, fields: &[(&str, &str)]) -> Page {
    world.clock.advance(Duration::from_secs(1));
    let page = browser.get(&format!("/matches/{iid}/send")).await;
    let etag = etag(&page);
    browser.post(&format!("/matches/{iid}/send"), &[fields, &[("etag", etag.as_str())]].concat()).await
}

/// Edits the draft's comment as a person does in GitLab.
fn edit_in_gitlab(world: &World, iid: u64, from: &str, to: &str) {
    let gitlab = world.sandbox.world();
    let notes = gitlab.comments_of(iid);
    let note = notes.iter().find(|note| note.body.contains("Draft of the application")).unwrap();
    let (id, body) = (note.id, note.body.clone());
    drop(gitlab);
    assert!(body.contains(from), "{body}");
    world.reviewer().edit_comment(iid, id, &body.replace(from, to)).unwrap();
}

#[tokio::test]
async fn a_draft_is_written_looked_through_and_sent_by_its_button_alone() {
    let (world, mails, browser) = desk().await;
    let iid = approved(&world, "1").await;
    browser.get("/?state=approved").await.shows("Write the application");
    let page = browser.get(&format!("/matches/{iid}/draft")).await;
    page.shows("value=\"Cloud Architect 1\"");
    let page = asked(&browser, iid).await;
    page.shows("Send this application?");
    page.shows("<strong>ten years</strong>");
    page.shows("&lt;script&gt;");
    page.shows("Send to clara@agency.example");
    assert_eq!(mails.mails().len(), 0, "looking sends nothing");
    browser.get(&format!("/matches/{iid}")).await.shows("Read and send the application");
    let sent = send(&world, &browser, iid, &[]).await;
    assert_eq!(sent.location, format!("/matches/{iid}/draft?said=sent"), "{}", sent.html);
    world.settle().await;
    let page = browser.get(&sent.location).await;
    page.shows("The application is sent.");
    page.shows("Sent to clara@agency.example by pipeline");
    page.shows("Message-ID");
    page.hides("<form class=\"card");
    assert_eq!(mails.mails().len(), 1);
    assert_eq!(world.state(iid).await, "sent");
    let page = browser.get(&format!("/matches/{iid}")).await;
    page.shows("What was sent");
    page.hides("Not sent after all");
    // Sending once more sends nothing, and asking leads to what was sent.
    let again = browser.post(&format!("/matches/{iid}/send"), &[("etag", "old")]).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "{}", again.html);
    assert_eq!(browser.get(&format!("/matches/{iid}/send")).await.location, format!("/matches/{iid}/draft"));
    assert_eq!(mails.mails().len(), 1);
}

#[tokio::test]
async fn an_edit_in_gitlab_is_shown_and_neither_written_over_nor_sent_unseen() {
    let (world, mails, browser) = desk().await;
    let iid = approved(&world, "1").await;
    asked(&browser, iid).await;
    let before = browser.get(&format!("/matches/{iid}/draft")).await;
    let question = browser.get(&format!("/matches/{iid}/send")).await;
    edit_in_gitlab(&world, iid, "ten years", "twelve years");
    world.settle().await;
    // Neither does the old question send the new text …
    let page = browser.post(&format!("/matches/{iid}/send"), &[("etag", &etag(&question))]).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    page.shows("The draft was edited meanwhile.");
    page.shows("<strong>twelve years</strong>");
    assert_eq!(mails.mails().len(), 0);
    // … nor does an old form write over it.
    let page = save(&browser, iid, &before, "", ("subject", "Mine")).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    page.shows("In GitLab it now says");
    page.shows("**twelve years**");
    page.shows("value=\"Mine\"");
    let saved = save(&browser, iid, &page, "", ("subject", "Mine")).await;
    assert_eq!(saved.location, format!("/matches/{iid}/draft?said=saved"), "{}", saved.html);
    let (_, draft) = world.get(&format!("/api/v1/matches/{iid}/draft")).await;
    assert_eq!((&draft["subject"], draft["body"].as_str().unwrap().contains("ten")), (&json!("Mine"), true));
}

/// The page reads the draft, somebody edits it, and only then is it read to be sent.
#[tokio::test]
async fn an_edit_between_the_button_and_the_mail_is_not_sent_unseen() {
    let (world, mails, browser) = desk().await;
    let iid = approved(&world, "1").await;
    asked(&browser, iid).await;
    let path = format!("/matches/{iid}/send");
    let reads = || world.sandbox.calls().iter().filter(|call| call.route.contains("/notes")).count();
    let before = reads();
    let etag = etag(&browser.get(&path).await);
    // The last of the reads that a page makes is the slow one.
    let (a_page, before) = (reads() - before, reads());
    let slow = Trouble::slow_body(Duration::from_secs(10));
    world.sandbox.fault(Fault::new(Method::GET, "/notes", slow).after(u32::try_from(a_page).unwrap() - 1));
    let edit = async {
        while reads() < before + a_page {
            tokio::task::yield_now().await;
        }
        edit_in_gitlab(&world, iid, "ten years", "twelve years");
        world.sandbox.end_pauses();
    };
    let fields = [("etag", etag.as_str())];
    let (page, ()) = tokio::join!(browser.post(&path, &fields), edit);
    assert_eq!(page.status, StatusCode::CONFLICT, "{}", page.html);
    page.shows("The draft was edited meanwhile.");
    page.shows("<strong>twelve years</strong>");
    assert_eq!(mails.mails().len(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_draft_stands_beside_its_field_and_nothing_typed_is_lost() {
    let (world, _mails, browser) = desk().await;
    let iid = approved(&world, "1").await;
    let page = browser.get(&format!("/matches/{iid}/draft")).await;
    for (field, value) in [("to", "clara"), ("attachments", "cv/none.pdf")] {
        let page = save(&browser, iid, &page, "", (field, value)).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        page.shows(&format!("id=\"{field}-wrong\""));
        page.shows(value);
        page.shows("I bring **ten years**");
    }
    world.sandbox.outage(Outage::Refused);
    let down = save(&browser, iid, &page, "", ("", "")).await;
    assert_eq!(down.status, StatusCode::SERVICE_UNAVAILABLE);
    world.sandbox.outage(Outage::None);
    assert_eq!(browser.get("/matches/99/draft").await.status, StatusCode::NOT_FOUND);
    let rejected = world.stage("2").await;
    world.patch(rejected, &json!({ "state": "rejected" })).await;
    browser.get(&format!("/matches/{rejected}/draft")).await.shows("nothing is written or sent");
}

#[tokio::test]
async fn where_nobody_knows_whether_it_left_there_are_two_ways_out() {
    let (world, mails, browser) = desk().await;
    for (id, retry) in [("1", true), ("2", false)] {
        let iid = approved(&world, id).await;
        asked(&browser, iid).await;
        mails.set_mood(Mood::GoneAfterMessage);
        let page = send(&world, &browser, iid, &[]).await;
        assert_eq!(page.status, StatusCode::BAD_GATEWAY);
        page.shows("It is uncertain whether the mail left");
        page.shows("I have looked; it did not arrive");
        mails.set_mood(Mood::Fine);
        let before = mails.mails().len();
        browser.get(&format!("/matches/{iid}")).await.shows("Uncertain whether it was sent");
        browser.get(&format!("/matches/{iid}/draft")).await.shows("Mark as sent");
        // Without having looked nothing is sent again, and the usual button is not there.
        let page = send(&world, &browser, iid, &[("retry", "yes")]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        page.shows("Please look first");
        assert_eq!(send(&world, &browser, iid, &[]).await.status, StatusCode::BAD_GATEWAY);
        assert_eq!(mails.mails().len(), before);
        if retry {
            let sent = send(&world, &browser, iid, &[("retry", "yes"), ("looked", "yes")]).await;
            assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.html);
            assert_eq!(mails.mails().len(), before + 1);
        } else {
            let iid = iid.to_string();
            browser.post_and_follow("/decide", &[("iid", &iid), ("state", "sent"), ("back", "/")]).await;
            assert_eq!(mails.mails().len(), before);
        }
        world.settle().await;
        assert_eq!(world.state(iid).await, "sent");
    }
}

#[tokio::test]
async fn the_same_role_once_more_needs_a_reason() {
    let (world, mails, browser) = desk().await;
    let twin = |id: &str, agency: &str| {
        let mut job = job(id);
        job["title"] = json!("Cloud Architect");
        job["agency"] = json!(agency);
        job["end_client"] = json!("Wiener Netze");
        job
    };
    let mut iids = Vec::new();
    for (id, agency) in [("1", "Hays"), ("2", "Amoria Bond")] {
        let (_, answer) = world.post(&twin(id, agency)).await;
        let iid = answer["iid"].as_u64().unwrap();
        world.settle().await;
        world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
        world.settle().await;
        asked(&browser, iid).await;
        iids.push(iid);
    }
    assert_eq!(send(&world, &browser, iids[0], &[]).await.status, StatusCode::SEE_OTHER);
    world.settle().await;
    let page = send(&world, &browser, iids[1], &[]).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    page.shows(&format!("The same role: #{}", iids[0]));
    page.shows("Why it is to be sent all the same");
    assert_eq!(mails.mails().len(), 1);
    let sent = send(&world, &browser, iids[1], &[("override", "Clara asked for it")]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.html);
    assert_eq!(mails.mails().len(), 2);
    browser.get(&sent.location).await.shows("Clara asked for it");
}

#[tokio::test]
async fn a_mail_server_that_refuses_is_quoted_and_nothing_is_marked() {
    let (world, mails, browser) = desk().await;
    let iid = approved(&world, "1").await;
    asked(&browser, iid).await;
    mails.set_mood(Mood::Busy);
    let page = send(&world, &browser, iid, &[]).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    page.shows("It could not be sent right now; nothing left.");
    page.shows("451");
    assert_eq!(world.state(iid).await, "approved");
    assert_eq!(mails.mails().len(), 0);
    let silent = World::new().await;
    let iid = approved(&silent, "1").await;
    let browser = Browser::of(&silent).await;
    asked(&browser, iid).await;
    let page = send(&silent, &browser, iid, &[]).await;
    page.shows("This service has no mail server to send from.");
}
