//! What `/status` says of much at once, and of what nobody can look at.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::MAIL;
use super::support::{Difference, World, job};
use super::visitor::Browser;

#[tokio::test]
async fn held_messages_stand_together_and_none_is_left_out() {
    let digest = "language: en\nbatch: {mode: digest, at: [\"17:30\"]}\n";
    let world =
        World::with(Difference { variables: MAIL.to_vec(), file: Some(digest), ..Difference::default() })
            .await;
    let many: Vec<Value> = (0..70).map(|number| job(&number.to_string())).collect();
    let (status, answer) = world.post(&json!(many)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    world.settle().await;
    let page = Browser::of(&world).await.get("/status").await;
    page.shows("70 matches · E-mail");
    page.shows("(next digest)");
    assert_eq!(page.html.matches("<li><a href=\"/matches/").count(), 70);
}

#[tokio::test]
async fn a_webhook_that_no_token_may_look_at_is_known_by_what_came() {
    let world = World::new().await;
    let browser = Browser::of(&world).await;
    for path in ["/", "/status"] {
        let page = browser.get(path).await;
        page.shows("unknown");
        page.shows("VORHOELLE_SETUP_TOKEN");
    }
    world.stage("1").await;
    for path in ["/", "/status"] {
        let page = browser.get(path).await;
        page.shows("delivers");
        page.hides("VORHOELLE_SETUP_TOKEN");
    }
    world.clock.advance(std::time::Duration::from_secs(4 * 24 * 3_600));
    browser.get("/status").await.shows("VORHOELLE_SETUP_TOKEN");
}
