//! The pages over HTTP: who gets in, what a form may do, what is shown, that hostile text does nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a story that fails, panics")]

#[path = "pages/application.rs"]
mod application;
#[path = "pages/ended.rs"]
mod ended;
#[path = "pages/german.rs"]
mod german;
#[path = "pages/settings.rs"]
mod settings;
#[path = "pages/status.rs"]
mod status;
mod support;
#[path = "support/visitor.rs"]
mod visitor;

use std::sync::Mutex;

use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use support::{Difference, Disk, TOKEN, World, job};
use visitor::{Browser, Page};
use vorhoelle::sandbox::{Fault, Outage, Trouble};

/// Everything that is logged while these tests run.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Lines;

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const PAGES: [&str; 4] = ["/", "/stats", "/settings", "/status"];

#[tokio::test]
async fn nobody_sees_anything_before_logging_in() {
    let world = World::new().await;
    world.stage("1").await;
    let browser = Browser::new(&world);
    for path in PAGES.into_iter().chain(["/matches/1"]) {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{path}");
        assert!(page.location.starts_with("/login") && page.html.is_empty(), "{path}: {}", page.location);
    }
    for path in ["/decide", "/settings", "/settings/test", "/logout"] {
        let page = browser.send(path, &[("iid", "1"), ("state", "approved")]).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{path}");
        page.hides("Cloud Architect");
    }
    world.expect(1, "pending").await;
    world.finish().await;
}

#[tokio::test]
async fn a_token_logs_in_and_leads_on_to_where_one_wanted_to_go() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let page = browser.get("/settings").await;
    assert_eq!(page.location, "/login?next=%2Fsettings");
    let page = browser.get(&page.location).await;
    assert_eq!(page.between("name=\"next\" value=\"", "\""), "/settings");
    let page = browser.login("token-of-somebody", "/settings").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(browser.cookie.is_empty());
    page.hides("token-of-somebody");
    for next in ["https://evil.example", "//evil.example", "/\\evil.example"] {
        assert_eq!(browser.login(TOKEN, next).await.location, "/");
    }
    assert_eq!(browser.login(TOKEN, "/settings").await.location, "/settings");
    for path in PAGES {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.html);
        page.shows("pipeline");
        assert!(
            page.policy.starts_with("default-src 'none'") && !page.policy.contains("unsafe"),
            "{}",
            page.policy
        );
        page.hides(" style=");
        page.hides("<style");
    }
    let page = browser.post("/logout", &[]).await;
    assert_eq!(page.location, "/login");
    world.finish().await;
}

#[tokio::test]
async fn who_tries_tokens_has_to_wait() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    for attempt in 0..10 {
        let page = browser.login(&format!("guess-{attempt}"), "/").await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "attempt {attempt}");
    }
    let page = browser.login(TOKEN, "/").await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    page.shows("5 minutes");
    world.clock.advance(std::time::Duration::from_secs(300));
    assert_eq!(browser.login(TOKEN, "/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_session_outlives_a_restart_and_ends_with_its_token() {
    let mut world =
        World::set(&[("API_TOKENS", "anna:token-of-anna"), ("PUBLIC_URL", "https://jobs.example")]).await;
    let mut browser = Browser::new(&world);
    let response =
        browser.http.post(world.url("/login")).form(&[("token", "token-of-anna")]).send().await.unwrap();
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/;", "Max-Age="] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("token-of-anna"));
    browser.cookie = cookie.split(';').next().unwrap().to_owned();
    world.restart(Disk::Wiped).await;
    let page = browser.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    page.shows("anna");
    world.set_variable("API_TOKENS", "anna:another-token");
    world.restart(Disk::Kept).await;
    assert_eq!(browser.get("/").await.location, "/login");
}

#[tokio::test]
async fn a_decision_is_made_by_the_tokens_name_and_can_be_undone() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    let browser = Browser::of(&world).await;
    let page = browser.get("/").await;
    for part in ["Cloud Architect 1", "Amoria Bond", "97 percent match", "Wien", "We need you.", "just now"] {
        page.shows(part);
    }
    let comment = "call Clara\r\nfirst";
    let fields = [("iid", "1"), ("state", "approved"), ("comment", comment), ("back", "/?q=cloud")];
    let page = browser.post("/decide", &fields).await;
    assert_eq!((page.status, page.location.as_str()), (StatusCode::SEE_OTHER, "/?q=cloud&done=1.pending"));
    let page = browser.get(&page.location).await;
    page.shows(">approved</span>");
    page.shows("Undo");
    world.settle().await;
    world.expect(iid, "approved").await;
    world.expect_comment(iid, "**pipeline** approved this match on the page: “call Clara first”");
    let page = browser.get("/matches/1").await;
    page.shows("on the page");
    page.shows("call Clara\nfirst");
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(
        (&answer["decided_by"], &answer["history"][0]["through"]),
        (&json!("pipeline"), &json!("page"))
    );
    let page = browser.post_and_follow("/decide", &[("iid", "1"), ("state", "pending"), ("back", "/")]).await;
    page.shows("pending again");
    world.settle().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "put this match back to pending on the page");
    // Once more is no further step.
    let page = browser.post("/decide", &[("iid", "1"), ("state", "pending"), ("back", "/")]).await;
    assert_eq!(page.location, "/");
    world.finish().await;
}

#[tokio::test]
async fn a_decision_made_meanwhile_is_not_reversed_unseen() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    let browser = Browser::of(&world).await;
    let page = browser.get("/").await;
    page.shows("name=\"seen\" value=\"1.pending\"");
    world.reviewer().relabel(iid, &["job-match/rejected"], &[]).unwrap();
    world.settle().await;
    let form = [("iid", "1"), ("seen", "1.pending"), ("state", "approved"), ("back", "/")];
    let page = browser.post("/decide", &form).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    page.shows("It is rejected by now: somebody decided since this page was loaded.");
    world.expect(iid, "rejected").await;
    // Whoever tries again after having read that, means it.
    page.shows("name=\"seen\" value=\"1.rejected\"");
    let form = [("iid", "1"), ("seen", "1.rejected"), ("state", "approved"), ("back", "/")];
    assert_eq!(browser.post("/decide", &form).await.location, "/?done=1.rejected");
    world.settle().await;
    world.expect(iid, "approved").await;
    world.expect_comment(iid, "approved this match on the page");
    world.finish().await;
}

#[tokio::test]
async fn several_at_once_have_a_result_each() {
    let mut world = World::new().await;
    for external_id in ["1", "2", "3"] {
        world.stage(external_id).await;
    }
    world.patch(2, &json!({ "state": "approved" })).await;
    world.patch(2, &json!({ "state": "sent" })).await;
    world.settle().await;
    world.expect_comment(2, "approved");
    world.expect_comment(2, "sent");
    let browser = Browser::of(&world).await;
    let all = [
        ("iid", "1"),
        ("iid", "2"),
        ("iid", "3"),
        ("iid", "99"),
        ("state", "rejected"),
        ("comment", "too far"),
    ];
    let page = browser.post("/decide", &[&all[..], &[("back", "/?q=x")]].concat()).await;
    assert_eq!(page.status, StatusCode::OK);
    page.shows("It is sent by now; there is no such step from there.");
    page.shows("This match is no longer there.");
    page.shows("Cloud Architect 1");
    page.shows("Cloud Architect 3");
    page.shows("Undo all");
    // What was said is still there for the next try, and only what failed is tried again.
    assert_eq!(page.between("maxlength=\"5000\">", "<"), "too far");
    let again = page.html.split("class=\"card stack\"").nth(1).unwrap();
    assert_eq!(again.matches("name=\"iid\"").count(), 2);
    world.settle().await;
    for iid in [1, 3] {
        world.expect(iid, "rejected").await;
        world.expect_comment(iid, "too far");
    }
    world.expect(2, "sent").await;
    let page = browser.post("/decide", &[("state", "rejected")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.shows("Nothing is chosen");
    world.finish().await;
}

#[tokio::test]
async fn while_gitlab_is_down_a_decision_fails_in_words_and_keeps_what_was_typed() {
    let mut world = World::new().await;
    world.stage("1").await;
    let browser = Browser::of(&world).await;
    world.sandbox.outage(Outage::Refused);
    let fields = [("iid", "1"), ("state", "approved"), ("comment", "yes, please"), ("back", "/")];
    let page = browser.post("/decide", &fields).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    page.shows("GitLab does not answer right now.");
    page.shows("yes, please");
    page.shows("Try again");
    let page = browser.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    page.shows("GitLab does not answer right now. What you see is the last known state");
    world.sandbox.outage(Outage::None);
    browser.post_and_follow("/decide", &fields).await.shows(">approved</span>");
    world.settle().await;
    world.expect(1, "approved").await;
    world.expect_comment(1, "yes, please");
    world.finish().await;
}

#[tokio::test]
async fn trying_again_overrules_nobody_who_decided_during_the_outage() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    let browser = Browser::of(&world).await;
    world.sandbox.outage(Outage::Refused);
    let fields = [("iid", "1"), ("seen", "1.pending"), ("state", "approved"), ("back", "/")];
    let page = browser.post("/decide", &fields).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    page.shows("name=\"seen\" value=\"1.pending\"");
    world.sandbox.outage(Outage::None);
    world.reviewer().relabel(iid, &["job-match/rejected"], &[]).unwrap();
    world.settle().await;
    assert_eq!(browser.post("/decide", &fields).await.status, StatusCode::CONFLICT);
    world.expect(iid, "rejected").await;
    world.finish().await;
}

#[tokio::test]
async fn while_gitlab_is_read_a_list_loads_itself_again_and_a_form_does_not() {
    let world = World::asleep(Difference::default()).await;
    let browser = Browser::of(&world).await;
    browser.get("/").await.shows("data-reload");
    let settings = browser.get("/settings").await;
    settings.shows("is being read");
    settings.hides("data-reload");
}

#[tokio::test]
async fn a_form_from_elsewhere_changes_nothing() {
    let world = World::new().await;
    world.stage("1").await;
    let browser = Browser::of(&world).await;
    let fields = [("iid", "1"), ("state", "approved")];
    let page = browser.send("/decide", &fields).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    page.shows("This form did not come from here");
    let page = browser.send("/decide", &[&[("form", "x".repeat(43).as_str())], &fields[..]].concat()).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    // Even with the right token, where the browser says that another site sends it.
    let page = browser.get("/").await;
    let form = page.between("name=\"form\" value=\"", "\"");
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let request = browser
            .http
            .post(world.url("/decide"))
            .header(header::COOKIE, &browser.cookie)
            .header(name, value);
        let response =
            request.form(&[("form", form), ("iid", "1"), ("state", "approved")]).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{name}: {value}");
        let request = browser.http.post(world.url("/login")).header(name, value).form(&[("token", TOKEN)]);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "login, {name}: {value}");
    }
    world.expect(1, "pending").await;
    world.finish().await;
}

#[tokio::test]
async fn a_hostile_match_is_inert_on_every_page() {
    let world = World::new().await;
    let evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><a href=javascript:alert(3)>x</a>{{ session.form }}";
    let mut hostile = json!({
        "title": evil, "score": 91, "url": "https://evil.example/\"onclick=\"alert(4)", "remote": evil, "rate": evil,
        "contact": {"name": evil, "email": evil, "phone": evil}, "skills": {"matched": [evil], "missing": [evil]},
        "summary": format!("{evil}\n\n[click](javascript:alert(5)) ![i](https://evil.example/i.png)"),
        "description": format!("{evil}\n\n<style>body{{display:none}}</style>\n\n[x](data:text/html,x) <https://fine.example>"),
    });
    for field in ["company", "agency", "end_client", "location", "start", "duration", "source"] {
        hostile[field] = evil.into();
    }
    let (status, answer) = world.post(&hostile).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    hostile["agency"] = "Hays".into();
    hostile["url"] = Value::Null;
    world.post(&hostile).await;
    world.settle().await;
    let browser = Browser::of(&world).await;
    let words: String = url::form_urlencoded::byte_serialize(evil.as_bytes()).collect();
    let searched = format!("/?q={words}&state=all&done=1.approved,{words}");
    for path in ["/", "/matches/1", "/matches/2", "/stats", "/status", "/settings", searched.as_str()] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        for harm in [
            "<script>",
            "<img src=x",
            "javascript:alert(5)\"",
            "<style",
            "data:text",
            "evil.example/i.png",
            "\"onclick=\"",
            "<a href=javascript",
        ] {
            page.hides(harm);
        }
        // The only images and scripts are our own.
        assert_eq!(page.html.matches("<script").count(), 1, "{path}");
        assert_eq!(page.html.matches("<img").count(), 1, "{path}");
    }
    browser.get("/matches/1").await.shows("<a href=\"https://fine.example\">");
    let page = browser.get("/").await;
    page.shows("{{ session.form }}");
    let next: String = url::form_urlencoded::byte_serialize(format!("/{evil}").as_bytes()).collect();
    let page = Browser::new(&world).get(&format!("/login?next={next}")).await;
    page.hides("<script>alert");
    world.finish().await;
}

#[tokio::test]
async fn lists_search_and_paging_lead_to_every_match() {
    let world = World::new().await;
    for number in 0..23 {
        let mut job = job(&number.to_string());
        job["score"] = json!(70 + number);
        job["title"] = json!(format!("Job {number:02}"));
        world.post(&job).await;
    }
    world.settle().await;
    let browser = Browser::of(&world).await;
    let page = browser.get("/").await;
    let first = page.html.find("Job 22").unwrap();
    assert!(first < page.html.find("Job 03").unwrap(), "the best first");
    page.hides("Job 02");
    page.shows("Pending <span class=\"count\">23</span>");
    let next = page.between("rel=\"next\" href=\"", "\"").replace("&amp;", "&");
    let page = browser.get(&next).await;
    page.shows("Job 02");
    page.shows("Job 00");
    page.hides("Job 03");
    page.shows("Back to the beginning");
    let page = browser.get("/?q=job+07").await;
    page.shows("Job 07");
    page.hides("Job 08");
    let page = browser.get("/?q=nowhere&state=rejected").await;
    page.shows("Nothing found for “nowhere”.");
    page.shows("/?state=all&amp;q=nowhere");
    browser.get("/?state=sent").await.shows("Nothing sent yet.");
    let page = browser.get("/matches/4711").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    page.shows("There is no such match");
}

/// A mail program cut the address in the middle of a letter.
#[tokio::test]
async fn a_broken_address_gets_a_page_that_says_so() {
    let world = World::set(&[("LINK_SECRET", "key-of-the-links-0123456789")]).await;
    let browser = Browser::of(&world).await;
    for (path, words) in [
        ("/a/%FF", "This link does not decide anything"),
        ("/matches/%FF", "There is no such match"),
        ("/matches/%E2/draft", "There is no such match"),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        page.shows(words);
    }
    let answer = world.http.get(world.url("/assets/style.css?v=a&v=b")).send().await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["cache-control"]),
        (StatusCode::OK, &"no-cache".parse().unwrap())
    );
    world.finish().await;
}

#[tokio::test]
async fn pages_speak_the_visitors_language_else_the_settings() {
    let world = World::with(Difference { file: Some("language: de\n"), ..Difference::default() }).await;
    let browser = Browser::of(&world).await;
    browser.get("/").await.shows("<html lang=\"en\">");
    for (asked, lang) in [("de-AT,de;q=0.9,en;q=0.8", "de"), ("fr", "de"), ("", "de"), ("fr,en;q=0.5", "en")]
    {
        let request = browser.http.get(world.url("/")).header(header::COOKIE, &browser.cookie);
        let page = Page::of(request.header(header::ACCEPT_LANGUAGE, asked).send().await.unwrap()).await;
        page.shows(&format!("<html lang=\"{lang}\">"));
        page.shows(if lang == "de" { "Alles entschieden." } else { "Everything is decided." });
    }
}

#[tokio::test]
async fn what_a_page_loads_is_ours_and_kept_by_browsers() {
    let world = World::new().await;
    let browser = Browser::new(&world);
    let page = browser.get("/login").await;
    for address in
        page.html.match_indices("=\"/assets/").map(|(at, _)| page.html[at + 2..].split('"').next().unwrap())
    {
        let response = browser.http.get(world.url(address)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{address}");
        assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        let tag = response.headers()[header::ETAG].clone();
        let path = address.split('?').next().unwrap();
        let request = browser.http.get(world.url(path)).header(header::IF_NONE_MATCH, tag);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
    }
    assert!(!page.html.contains("http://") && !page.html.contains("https://"), "{}", page.html);
    assert_eq!(browser.get("/assets/x.css").await.status, StatusCode::NOT_FOUND);
    let page = browser.get("/nowhere").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    page.shows("\"title\":\"Not Found\"");
    page.shows("openapi.json lists all of them");
    let page = browser.get_as_people_do("/nowhere").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    page.shows("There is no such page");
}

#[tokio::test]
async fn the_token_stands_in_no_page_no_address_and_no_log() {
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    log.with_writer(|| Lines).init();
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    browser.login("a-wrong-token", "/").await;
    let page = browser.login(TOKEN, "/settings").await;
    assert!(!page.location.contains("token"));
    for path in PAGES {
        browser.get(path).await.hides(TOKEN);
    }
    browser.post("/logout", &[]).await;
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    assert!(log.contains("logged in on the page") && log.contains("a login failed"), "{log}");
    let signature = browser.cookie.rsplit('.').next().unwrap();
    for secret in [TOKEN, "a-wrong-token", signature] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

/// The fields of the settings form as the page shows them.
fn settings_form(page: &Page) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let decode = |text: &str| {
        text.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&amp;", "&")
    };
    let form = page.between("<form class=\"settings\"", "</form>");
    for tag in form.split('<') {
        let tag = tag.split('>').next().unwrap();
        let attribute = |name: &str| {
            let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
            Some(decode(rest.split('"').next().unwrap()))
        };
        let off = tag.contains(" disabled") || (tag.contains("checkbox") && !tag.contains(" checked"));
        if tag.starts_with("input") && !off {
            fields.push((attribute("name").unwrap(), attribute("value").unwrap()));
        }
        if tag.starts_with("select") && !off {
            fields.push((attribute("name").unwrap(), String::new()));
        }
        if tag.starts_with("option") && tag.contains(" selected") {
            fields.last_mut().unwrap().1 = attribute("value").unwrap();
        }
    }
    fields
}

fn set(fields: &mut Vec<(String, String)>, name: &str, value: &str) {
    match fields.iter_mut().find(|(key, _)| key == name) {
        Some(field) => field.1 = value.to_owned(),
        None => fields.push((name.to_owned(), value.to_owned())),
    }
}

async fn save(browser: &Browser, fields: &[(String, String)]) -> Page {
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    browser.send("/settings", &fields).await
}

fn description(world: &World, iid: u64) -> String {
    world.sandbox.world().issue(iid).unwrap().description.clone().unwrap()
}

const MAIL: [(&str, &str); 3] =
    [("SMTP_URL", "smtp://127.0.0.1:9"), ("MAIL_FROM", "a@example.com"), ("MAIL_TO", "b@example.com")];

#[tokio::test]
async fn settings_go_into_the_settings_issue_and_come_back() {
    let world = World::set(&MAIL).await;
    let browser = Browser::of(&world).await;
    let page = browser.get("/settings").await;
    page.shows("fixed by VORHOELLE_REVIEWERS");
    page.shows("all day");
    // What the form shows is what it was made from: sent back unchanged, it changes nothing.
    let form = settings_form(&page);
    assert_eq!(save(&browser, &form).await.location, "/settings?saved=0");
    browser.get("/settings?saved=0").await.shows("You have changed nothing.");
    let mut changed = form.clone();
    for (key, value) in [
        ("min_score", "82.5"),
        ("batch.mode", "digest"),
        ("batch.at", "08:00, 17:30"),
        ("quiet_hours.from", "22:00"),
        ("quiet_hours.to", "07:00"),
        ("quiet_hours.timezone", "Europe/Vienna"),
        ("channels.email.delay", "30m"),
    ] {
        set(&mut changed, key, value);
    }
    changed.retain(|(key, value)| key != "channels.email.action_links" && value != "sun");
    let page = save(&browser, &changed).await;
    assert_eq!(page.location, "/settings?saved=1", "{}", page.html);
    let text = description(&world, 1);
    for part in ["min_score: 82.5", "digest", "17:30", "Europe/Vienna", "30m", "sat", "action_links: false"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let yaml = text.split("```yaml").nth(1).unwrap();
    let written =
        yaml.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
    for part in ["reviewers", "sun", "language", "slack", "enabled"] {
        assert!(!written.contains(part), "only what was changed is written, not {part}: {written}");
    }
    let page = browser.get("/settings?saved=1").await;
    page.shows("Saved.");
    page.shows("from issue #1");
    page.shows("07:00–22:00");
    page.shows("digest 17:30");
    browser.get("/").await.shows("23 Nov 2026, 17:30");
    // Emptied times are no quiet hours; the zone of the digests stays.
    let mut form = settings_form(&page);
    set(&mut form, "quiet_hours.from", "");
    set(&mut form, "quiet_hours.to", "");
    assert_eq!(save(&browser, &form).await.location, "/settings?saved=1");
    browser.get("/settings").await.shows("all day · digest 08:00, 17:30");
    world.finish().await;
}

#[tokio::test]
async fn settings_that_cannot_be_are_said_where_they_stand_and_change_nothing() {
    let world = World::set(&MAIL).await;
    let browser = Browser::of(&world).await;
    let form = settings_form(&browser.get("/settings").await);
    for (key, value, said) in [
        ("min_score", "viel", "must be a number"),
        ("min_score", "0.7", "must be a number from 0 to 100"),
        ("quiet_hours.from", "25:00", "is no time of day"),
        ("channels.email.delay", "soon", "is no duration"),
        ("batch.mode", "digest", "a digest needs times"),
    ] {
        let mut changed = form.clone();
        set(&mut changed, key, value);
        let page = save(&browser, &changed).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{key}: {value}");
        page.shows("It cannot be like this; nothing was changed.");
        page.shows(said);
        if key != "batch.mode" {
            page.shows(&format!("value=\"{value}\""));
        }
    }
    // Not even the issue was made for it.
    assert!(world.sandbox.world().issues.is_empty());
}

#[tokio::test]
async fn an_edit_made_in_gitlab_meanwhile_is_shown_and_not_written_over() {
    let world = World::set(&MAIL).await;
    let browser = Browser::of(&world).await;
    let mut form = settings_form(&browser.get("/settings").await);
    set(&mut form, "min_score", "75");
    assert_eq!(save(&browser, &form).await.location, "/settings?saved=1");
    let mut mine = settings_form(&browser.get("/settings").await);
    set(&mut mine, "min_score", "80");
    set(&mut mine, "remind_after", "5d");
    // Somebody edits the issue; the webhook about it has not come through yet.
    world.sandbox.hook_mode(vorhoelle::sandbox::HookMode::Hold);
    let text = description(&world, 1);
    world.reviewer().edit_description(1, &text.replace("min_score: 75", "min_score: 90")).unwrap();
    let page = save(&browser, &mine).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    page.shows("Somebody changed the same values in GitLab meanwhile.");
    page.shows("In GitLab it is now: <strong>90</strong>");
    page.shows("name=\"min_score\" value=\"80\"");
    page.shows("name=\"remind_after\" value=\"5d\"");
    assert!(description(&world, 1).contains("min_score: 90"));
    // Who saves after having seen it, means it.
    let page = save(&browser, &settings_form(&page)).await;
    assert_eq!(page.location, "/settings?saved=1");
    assert!(
        description(&world, 1).contains("min_score: 80")
            && description(&world, 1).contains("remind_after: 5d")
    );
    // An edit of something else is nobody's conflict, and stays.
    let mut mine = settings_form(&browser.get("/settings").await);
    set(&mut mine, "expire_after", "30d");
    let text = description(&world, 1);
    world.reviewer().edit_description(1, &text.replace("min_score: 80", "min_score: 85")).unwrap();
    assert_eq!(save(&browser, &mine).await.location, "/settings?saved=1");
    assert!(
        description(&world, 1).contains("min_score: 85")
            && description(&world, 1).contains("expire_after: 30d")
    );
}

/// A button that was pressed twice, by a browser without scripts.
#[tokio::test]
async fn the_same_settings_sent_twice_are_nobody_elses_change() {
    let world = World::set(&MAIL).await;
    let browser = Browser::of(&world).await;
    let mut form = settings_form(&browser.get("/settings").await);
    set(&mut form, "min_score", "75");
    for _ in 0..2 {
        assert_eq!(save(&browser, &form).await.location, "/settings?saved=1");
    }
    assert!(description(&world, 1).contains("min_score: 75"));
}

#[tokio::test]
async fn a_strangers_edit_is_not_made_good_by_somebody_elses_change() {
    let file = Some("enforce_reviewers: true\nlanguage: en\n");
    let mut world = World::with(Difference { file, ..Difference::default() }).await;
    let browser = Browser::of(&world).await;
    let mut form = settings_form(&browser.get("/settings").await);
    set(&mut form, "min_score", "75");
    assert_eq!(save(&browser, &form).await.location, "/settings?saved=1");
    let text = description(&world, 1);
    world.person("owner").edit_description(1, &text.replace("min_score: 75", "min_score: 1")).unwrap();
    world.settle().await;
    world.expect_comment(1, "owner has no effect");
    let mut form = settings_form(&browser.get("/settings").await);
    set(&mut form, "remind_after", "5d");
    // What is saved is written over the stranger's words, on what held before them.
    assert_eq!(save(&browser, &form).await.location, "/settings?saved=1");
    let text = description(&world, 1);
    assert!(text.contains("min_score: 75") && text.contains("remind_after: 5d"), "{text}");
    browser.get("/settings").await.shows("name=\"min_score\" value=\"75\"");
}

#[tokio::test]
async fn a_test_button_tells_the_channels_true_answer() {
    let world = World::set(&MAIL).await;
    let browser = Browser::of(&world).await;
    let page = browser.post("/settings/test", &[("channel", "email")]).await;
    assert_eq!(page.status, StatusCode::OK);
    page.shows("E-mail: did not work");
    page.shows("127.0.0.1");
    browser.post("/settings/test", &[("channel", "todo")]).await.shows("GitLab to-do: arrived");
    browser.post("/settings/test", &[("channel", "slack")]).await.shows("VORHOELLE_SLACK_WEBHOOK_URL");
    let page = browser.post("/settings/test", &[("channel", "pigeon")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn the_status_says_what_is_held_until_when() {
    let quiet = "language: en\nquiet_hours: {from: \"08:30\", to: \"10:00\", timezone: Europe/Vienna}\n";
    let world =
        World::with(Difference { variables: MAIL.to_vec(), file: Some(quiet), ..Difference::default() })
            .await;
    world.stage("1").await;
    world.tell().await;
    let browser = Browser::of(&world).await;
    let page = browser.get("/status").await;
    for part in
        ["fine", "held until", "23 Nov 2026, 10:00", "(quiet hours)", "1 waiting", "Cloud Architect 1"]
    {
        page.shows(part);
    }
    browser.get("/matches/1").await.shows("held until");
    world.disable_hook();
    let refused = Fault::new(reqwest::Method::POST, "/hooks/", Trouble::status(500)).times(9);
    world.sandbox.fault(refused);
    world.check_hook("owner").await;
    let page = browser.get("/status").await;
    page.shows("disabled by GitLab");
    page.shows("vorhoelle doctor");
    browser.get("/").await.shows("disabled by GitLab");
    assert_eq!(world.get("/health").await.1["webhook"]["status"], "disabled");
}

#[tokio::test]
async fn the_status_says_how_old_the_mirror_is_and_when_the_token_ends() {
    let mut world = World::new().await;
    let soon = "2026-12-01".parse().unwrap();
    world.sandbox.world().tokens.iter_mut().for_each(|token| token.expires_at = Some(soon));
    world.restart(Disk::Kept).await;
    world.stage("1").await;
    world.check_hook("owner").await;
    world.clock.advance(std::time::Duration::from_secs(3 * 60));
    let browser = Browser::of(&world).await;
    let page = browser.get("/status").await;
    assert_eq!(page.between("<dt>token valid until</dt><dd>", " <"), "1 Dec 2026");
    page.shows("renew it soon");
    assert_eq!(world.get("/health").await.1["gitlab"]["token_expires_at"], "2026-12-01");
    assert!(page.between("<dt>last read from end to end</dt>", "</dd>").contains("3 min ago"));
    assert!(page.between("<dt>last event</dt>", "</dd>").contains("3 min ago"));
    page.shows("delivers");
    page.shows("Nothing is held.");
    for channel in ["E-mail", "Slack", "WhatsApp"] {
        page.shows(&format!("<span>{channel}</span> <span class=\"soft\">not set up"));
    }
    world.sandbox.outage(Outage::Refused);
    browser.get("/matches/1").await;
    world.engine.delta().await.unwrap_err();
    let page = browser.get("/status").await;
    page.shows("GitLab does not answer right now.");
    page.shows("does not answer");
}

#[tokio::test]
async fn what_a_match_was_never_told_by_is_said() {
    let world = World::set(&MAIL).await;
    world.stage("1").await;
    world.patch(1, &json!({ "state": "approved" })).await;
    world.settle().await;
    let browser = Browser::of(&world).await;
    browser.get("/matches/1").await.shows("Was decided before a message was due.");
    let silent = World::new().await;
    silent.stage("1").await;
    let browser = Browser::of(&silent).await;
    browser.get("/matches/1").await.shows("No channel is set up");
}

#[tokio::test]
async fn what_the_settings_file_fixes_is_shown_as_fixed_and_by_what() {
    let file = Some("enforce_reviewers: true\nreviewers: [reviewer]\nlanguage: en\n");
    let world = World::with(Difference { file, ..Difference::default() }).await;
    let browser = Browser::of(&world).await;
    let page = browser.get("/settings").await;
    for key in ["reviewers", "enforce_reviewers"] {
        let field = page.between(&format!("name=\"{key}\""), "</div>");
        assert!(field.contains(" disabled"), "{field}");
    }
    let folder = std::env::temp_dir();
    page.shows(&format!("fixed by {}", folder.display()));
    // A channel that is not there says what it needs.
    page.shows("Set VORHOELLE_SLACK_WEBHOOK_URL and restart the service.");
}
