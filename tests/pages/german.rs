//! What is wrong is said in the reader's language, all of it at once, and what was typed stays.

use reqwest::{StatusCode, header};
use serde_json::json;

use super::support::{Difference, World, job};
use super::visitor::{Browser, Page};
use super::{MAIL, save, set, settings_form};

/// Sends a form as a German browser does.
async fn send(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Page {
    let page = browser.get("/status").await;
    let form = page.between("name=\"form\" value=\"", "\"").to_owned();
    let fields = [&[("form", form.as_str())], fields].concat();
    let request =
        browser.http.post(format!("{}{path}", browser.base)).header(header::COOKIE, &browser.cookie);
    Page::of(request.header(header::ACCEPT_LANGUAGE, "de").form(&fields).send().await.unwrap()).await
}

async fn get(browser: &Browser, path: &str) -> Page {
    let request = browser.http.get(format!("{}{path}", browser.base)).header(header::COOKIE, &browser.cookie);
    Page::of(request.header(header::ACCEPT_LANGUAGE, "de").send().await.unwrap()).await
}

fn pairs(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn everything_wrong_with_settings_is_said_at_once_and_in_german() {
    let world = World::set(&MAIL).await;
    let browser = Browser::of(&world).await;
    let mut form = settings_form(&get(&browser, "/settings").await);
    for (key, value) in [
        ("min_score", "viel"),
        ("quiet_hours.from", "25:99"),
        ("quiet_hours.to", "07:00"),
        ("quiet_hours.timezone", "Wien"),
        ("batch.max", "2.5"),
        ("channels.email.delay", "bald"),
    ] {
        set(&mut form, key, value);
    }
    let page = send(&browser, "/settings", &pairs(&form)).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for said in [
        "Das ist keine Zahl.",
        "„25:99“ ist keine Uhrzeit",
        "„Wien“ ist keine Zeitzone",
        "„bald“ ist keine Dauer",
        "Das ist keine ganze Zahl.",
    ] {
        page.shows(said);
    }
    page.hides("lang=\"en\"");
    page.shows("name=\"quiet_hours.from\" value=\"25:99\"");
}

#[tokio::test]
async fn what_is_wrong_with_a_draft_is_said_in_german() {
    let world = World::new().await;
    world.post(&job("1")).await;
    world.settle().await;
    world.patch(1, &json!({ "state": "approved" })).await;
    world.settle().await;
    let browser = Browser::of(&world).await;
    let fields = [
        ("to", "clara"),
        ("subject", ""),
        ("body", "Guten Tag"),
        ("attachments", "../cv.pdf"),
        ("etag", ""),
        ("then", "send"),
    ];
    let page = send(&browser, "/matches/1/draft", &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    for said in
        ["„clara“ ist nicht eine einzelne E-Mail-Adresse", "1 bis 250 Zeichen", "Ein Pfad im Repository"]
    {
        page.shows(said);
    }
    page.hides("lang=\"en\"");
}

/// Nobody to send it to: the draft is kept, and no button sends it.
#[tokio::test]
async fn an_application_to_nobody_has_no_button() {
    let world = World::new().await;
    let mut lonely = job("1");
    lonely["contact"] = json!(null);
    world.post(&lonely).await;
    world.settle().await;
    world.patch(1, &json!({ "state": "approved" })).await;
    world.settle().await;
    let browser = Browser::of(&world).await;
    let letter =
        [("to", ""), ("subject", "Architekt"), ("body", "Guten Tag"), ("attachments", ""), ("etag", "")];
    let page = send(&browser, "/matches/1/draft", &[&letter[..], &[("then", "send")]].concat()).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.shows("Der Entwurf ist gespeichert, aber er nennt niemanden");
    page.shows("id=\"to-wrong\"");
    world.settle().await;
    let page = get(&browser, "/matches/1/send").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.location);
    page.hides("An noch niemand senden");
    page.hides("<button class=\"main\">");
    page.shows("Zurück zum Entwurf");
}

#[tokio::test]
async fn a_test_message_throws_no_edits_away_and_a_forms_address_leads_to_its_page() {
    let world = World::set(&MAIL).await;
    let browser = Browser::of(&world).await;
    let mut form = settings_form(&browser.get("/settings").await);
    set(&mut form, "min_score", "81");
    set(&mut form, "remind_after", "bald");
    set(&mut form, "channel", "todo");
    let page = browser.send("/settings/test", &pairs(&form)).await;
    assert_eq!(page.status, StatusCode::OK);
    page.shows("GitLab to-do: arrived");
    page.shows("name=\"min_score\" value=\"81\"");
    page.shows("name=\"remind_after\" value=\"bald\"");
    let mut form = settings_form(&page);
    set(&mut form, "remind_after", "5d");
    assert_eq!(save(&browser, &form).await.location, "/settings?saved=1");
    for (form, page) in [("/settings/test", "/settings"), ("/decide", "/"), ("/logout", "/")] {
        assert_eq!(browser.get(form).await.location, page, "{form}");
    }
}

#[tokio::test]
async fn who_fixes_a_setting_is_named() {
    let file = Some("reviewers: [reviewer]\nlanguage: de\n");
    let variables = vec![("ENFORCE_REVIEWERS", "true")];
    let world = World::with(Difference { variables, file, ..Difference::default() }).await;
    let browser = Browser::of(&world).await;
    get(&browser, "/settings").await.shows("fest durch VORHOELLE_ENFORCE_REVIEWERS");
}

#[tokio::test]
async fn numbers_are_german_on_german_pages() {
    let world = World::new().await;
    let mut dear = job("1");
    dear["rate"] = json!({ "amount": 12_500.5, "currency": "EUR", "per": "month" });
    dear["remote"] = json!("80");
    world.post(&dear).await;
    world.settle().await;
    let browser = Browser::of(&world).await;
    let page = get(&browser, "/").await;
    page.shows("12.500,50 EUR / Monat");
    page.shows("80 %");
    browser.get("/").await.shows("12,500.50 EUR / month");
}

#[tokio::test]
async fn many_skills_are_folded_in_a_list_and_whole_on_their_own_page() {
    let world = World::new().await;
    for id in ["1", "2"] {
        let mut able = job(id);
        able["skills"]["matched"] = (0..12).map(|number| format!("Skill {number}")).collect();
        world.post(&able).await;
    }
    world.settle().await;
    let browser = Browser::of(&world).await;
    let page = get(&browser, "/").await;
    page.shows("<summary>noch 4</summary><ul><li><bdi>Skill 8</bdi></li>");
    page.shows("<dd><bdi>Skill 7</bdi></dd>");
    // From a box one comes to what is done with all of them.
    page.shows("href=\"#together\">Zu den Ausgewählten");
    get(&browser, "/matches/1").await.shows("<dd><bdi>Skill 11</bdi></dd>");
}

#[tokio::test]
async fn what_is_wrong_in_the_settings_issue_is_said_in_german_too() {
    let world = World::set(&MAIL).await;
    let browser = Browser::of(&world).await;
    let change = world.http.patch(world.url("/api/v1/config")).json(&json!({"min_score": 75}));
    let issue = world.call(change).await.1["settings_issue"].as_u64().unwrap();
    let edit = async |text: &str| {
        world.reviewer().edit_description(issue, text).unwrap();
        world.settle().await;
        get(&browser, "/status").await
    };
    let page = edit("```yaml\nmin_score: 300\nremind_after: bald\n```").await;
    page.shows("min_score: Eine Zahl von 0 bis 100, in Prozent.");
    page.shows("remind_after: „bald“ ist keine Dauer;");
    page.hides("cannot be used");
    let page = edit("nothing").await;
    page.shows(&format!("Das Einstellungs-Issue #{issue} hat keinen Block, der mit ```yaml beginnt"));
    let page = edit("```yaml\nmin_scor: 80\n```").await;
    page.shows("Zeile 1:");
    edit("```yaml\nmin_score: 80\n```").await.hides("Einstellungs-Issue #");
}
