//! The tracker on the page: seen, filled in, and never written over unseen.

use reqwest::StatusCode;
use serde_json::json;
use vorhoelle::sandbox::Outage;

use super::support::World;
use super::visitor::{Browser, Page};

/// The form as a browser would send it back, with some fields filled in.
async fn fill_in(browser: &Browser, made: &Page, typed: &[(&str, &str)]) -> Page {
    let names = [
        "stage",
        "applied_on",
        "answer_on",
        "interview_on",
        "next_step",
        "follow_up_on",
        "contact_name",
        "contact_email",
        "contact_phone",
        "rtr",
        "notes",
    ];
    let mut fields = Vec::new();
    for name in names {
        let was = made.between(&format!("name=\"was.{name}\" hidden>\n"), "</textarea>").to_owned();
        let value = typed.iter().find(|(one, _)| *one == name);
        fields.push((name.to_owned(), value.map_or_else(|| was.clone(), |(_, value)| (*value).to_owned())));
        fields.push((format!("was.{name}"), was));
    }
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post("/matches/1/application", &fields).await
}

#[tokio::test]
async fn the_tracker_is_filled_in_on_the_page() {
    let mut world = World::new().await;
    world.stage("1").await;
    let browser = Browser::of(&world).await;
    let page = browser.get("/matches/1").await;
    page.shows("Edit the tracker");
    let typed = [("stage", "applied"), ("applied_on", "2026-11-20"), ("notes", "first\r\n<b>second</b>")];
    let saved = fill_in(&browser, &page, &typed).await;
    assert_eq!((saved.status, saved.location.as_str()), (StatusCode::SEE_OTHER, "/matches/1?said=noted"));
    let page = browser.get(&saved.location).await;
    page.shows("It stands in a comment of the issue too.");
    page.shows("<td><bdi>2026-11-20</bdi></td>");
    page.shows("&lt;b&gt;second");
    world.expect_comment(1, "2026-11-20");
    let (_, answer) = world.get("/api/v1/matches/1").await;
    let expected = json!({"stage": "applied", "applied_on": "2026-11-20", "notes": "first\n<b>second</b>"});
    assert_eq!(answer["application"], expected);
    // What is emptied is cleared, what was not touched stays.
    assert_eq!(fill_in(&browser, &page, &[("stage", "")]).await.status, StatusCode::SEE_OTHER);
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(
        (&answer["application"]["stage"], &answer["application"]["applied_on"]),
        (&json!(null), &json!("2026-11-20"))
    );
}

#[tokio::test]
async fn what_cannot_be_is_said_beside_its_field_and_nothing_is_written() {
    let world = World::new().await;
    world.stage("1").await;
    let browser = Browser::of(&world).await;
    let page = browser.get("/matches/1").await;
    let page =
        fill_in(&browser, &page, &[("applied_on", "7.2."), ("rtr", "maybe"), ("next_step", "call")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.shows("is no day such as 2026-02-07");
    page.shows("is no right to represent");
    page.shows("value=\"call\"");
    world.sandbox.outage(Outage::Refused);
    let page = fill_in(&browser, &page, &[("next_step", "call Clara")]).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    page.shows("value=\"call Clara\"");
    world.sandbox.outage(Outage::None);
    world.finish().await;
}

#[tokio::test]
async fn what_somebody_else_wrote_meanwhile_is_shown_and_not_written_over() {
    let mut world = World::new().await;
    world.stage("1").await;
    let browser = Browser::of(&world).await;
    let made = browser.get("/matches/1").await;
    let theirs = json!({"next_step": "wait", "contact_name": "Clara"});
    let request = world.http.patch(world.url("/api/v1/matches/1/application")).json(&theirs);
    assert_eq!(world.call(request).await.0, StatusCode::OK);
    let page = fill_in(&browser, &made, &[("next_step", "call"), ("rtr", "yes")]).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    page.shows("<strong><bdi>wait</bdi></strong>");
    page.shows("value=\"call\"");
    // Whoever saves once more means it; another's field that was not touched stays.
    let saved = fill_in(&browser, &page, &[("next_step", "call"), ("rtr", "yes")]).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER);
    let (_, answer) = world.get("/api/v1/matches/1").await;
    let expected = json!({"next_step": "call", "contact_name": "Clara", "rtr": "yes"});
    assert_eq!(answer["application"], expected);
    world.expect_comment(1, "Clara");
    world.finish().await;
}
