//! The pages: what they show, that their forms act, that nothing in a text gets through.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "sandbox/support.rs"]
mod support;

use std::collections::BTreeSet;

use support::{Receiver, client, stepped};
use vorhoelle::sandbox::Sandbox;

/// A browser that follows redirects and keeps the chosen person.
struct Browser {
    http: reqwest::Client,
    base: String,
    person: String,
}

impl Browser {
    fn new(sandbox: &Sandbox, person: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { http, base: sandbox.url().to_owned(), person: person.to_owned() }
    }

    fn cookie(&self) -> String {
        format!("other=1; sandbox_person={}", self.person)
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let response = self
            .http
            .get(format!("{}{path}", self.base))
            .header("cookie", self.cookie())
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn page(&self, path: &str) -> String {
        let (status, html) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {html}");
        html
    }

    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let request =
            self.http.post(format!("{}{path}", self.base)).header("cookie", self.cookie()).form(fields);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let to = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (status, to.unwrap_or(response.text().await.unwrap()))
    }
}

const PROJECT: &str = "/acme/job-matches/-";

async fn furnished() -> (Sandbox, u64) {
    let (sandbox, _) = stepped().await;
    let bot = sandbox.as_user("bot");
    for (name, color) in [("pending", "#F0AD4E"), ("approved", "#5CB85C")] {
        bot.create_label(name, color).unwrap();
    }
    bot.create_board("Matches", &["pending", "approved"]).unwrap();
    let iid = bot.create_issue("A job", "Words", &["pending"]).unwrap();
    (sandbox, iid)
}

#[tokio::test]
async fn a_card_is_moved_by_a_form() {
    let (sandbox, iid) = furnished().await;
    let receiver = Receiver::start().await;
    let body = serde_json::json!({"url": receiver.url, "issues_events": true});
    client(&sandbox, "reviewer").post("hooks", body).await;
    let browser = Browser::new(&sandbox, "reviewer");
    let html = browser.page(&format!("{PROJECT}/boards")).await;
    let path =
        html.split("action=\"").map(|rest| rest.split('"').next().unwrap()).find(|at| at.ends_with("/move"));
    let path = path.unwrap().replace("&#x2f;", "/");
    let iid_text = iid.to_string();
    let form = |from, to| [("iid", iid_text.as_str()), ("from", from), ("to", to)].to_vec();
    assert_eq!(browser.submit(&path, &form("pending", "approved")).await.0, 303);
    assert_eq!(sandbox.world().labels_of(iid), ["approved"]);
    let event = sandbox.world().label_events.last().cloned().unwrap();
    assert_eq!(sandbox.world().username(event.user), "reviewer");
    assert_eq!(browser.submit(&path, &form("approved", "Closed")).await.0, 303);
    assert_eq!(sandbox.world().labels_of(iid), Vec::<String>::new());
    assert_eq!(sandbox.world().issue(iid).unwrap().state.word(), "closed");
    assert_eq!(browser.submit(&path, &form("Closed", "pending")).await.0, 303);
    assert_eq!(sandbox.world().issue(iid).unwrap().state.word(), "opened");
    sandbox.settled().await;
    let actions: BTreeSet<_> = sandbox
        .world()
        .deliveries
        .iter()
        .map(|entry| entry.delivery.body["object_attributes"]["action"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(actions.into_iter().collect::<Vec<_>>(), ["close", "reopen", "update"]);
    let guest = Browser::new(&sandbox, "guest");
    let (status, html) = guest.submit(&path, &form("pending", "approved")).await;
    assert!(status == 403 && html.contains("403 Forbidden"), "{html}");
}

#[tokio::test]
async fn every_page_is_there() {
    let (sandbox, iid) = furnished().await;
    client(&sandbox, "reviewer").post("hooks", serde_json::json!({"url": "http://127.0.0.1:1/"})).await;
    let browser = Browser::new(&sandbox, "reviewer");
    for (path, expected) in [
        ("/".to_owned(), "sandbox-bot-token"),
        (format!("{PROJECT}/issues"), "A job"),
        (format!("{PROJECT}/issues?state=closed"), "No issues here"),
        (format!("{PROJECT}/issues/{iid}"), "Words"),
        (format!("{PROJECT}/work_items/{iid}"), "Words"),
        (format!("{PROJECT}/boards"), "Move #1 to"),
        (format!("{PROJECT}/labels"), "#F0AD4E"),
        (format!("{PROJECT}/hooks"), "executable"),
        ("/dashboard/todos".to_owned(), "Everything is done"),
    ] {
        let html = browser.page(&path).await;
        assert!(html.contains(expected), "{path} lacks {expected}: {html}");
        assert!(html.contains("<option value=\"reviewer\" selected>"));
    }
    assert!(browser.page("/-/assets/style.css").await.contains(".board"));
    assert!(browser.page("/-/assets/board.js").await.contains("dragstart"));
    assert_eq!(browser.get("/nothing").await.0, 404);
    assert_eq!(browser.get(&format!("{PROJECT}/issues/99")).await.0, 404);
    let stranger = Browser::new(&sandbox, "stranger");
    assert_eq!(stranger.get(&format!("{PROJECT}/issues/{iid}")).await.0, 404);
    assert_eq!(Browser::new(&sandbox, "developer").get(&format!("{PROJECT}/hooks")).await.0, 403);
}

#[tokio::test]
async fn forms_act_as_the_chosen_person() {
    let (sandbox, iid) = furnished().await;
    let browser = Browser::new(&sandbox, "colleague");
    let at = format!("{PROJECT}/issues/{iid}");
    for (what, fields) in [
        ("labels", ("add", "approved")),
        ("labels", ("remove", "pending")),
        ("notes", ("body", "A **bold** word")),
        ("reactions", ("name", "eyes")),
        ("assignee", ("username", "reviewer")),
        ("state", ("event", "close")),
    ] {
        assert_eq!(browser.submit(&format!("{at}/{what}"), &[fields]).await, (303, at.clone()), "{what}");
    }
    let html = browser.page(&at).await;
    for expected in ["<strong>bold</strong>", ":eyes:", "assigned to @reviewer", "Reopen issue", "closed"] {
        assert!(html.contains(expected), "{expected}: {html}");
    }
    {
        let world = sandbox.world();
        assert_eq!(world.labels_of(iid), ["approved"]);
        assert_eq!(world.username(world.notes.iter().find(|note| !note.system).unwrap().author), "colleague");
    }
    let reviewer = Browser::new(&sandbox, "reviewer");
    assert!(reviewer.page("/dashboard/todos").await.contains("assigned you"));
    let id = sandbox.as_user("reviewer").todos()[0].id;
    assert_eq!(reviewer.submit(&format!("/dashboard/todos/{id}/done"), &[]).await.0, 303);
    assert!(sandbox.as_user("reviewer").todos().is_empty());
    let created =
        browser.submit(&format!("{PROJECT}/issues"), &[("title", "New"), ("labels", "approved, x")]).await;
    assert_eq!(created, (303, format!("{PROJECT}/issues/2")));
    assert_eq!(sandbox.world().labels_of(2), ["approved", "x"]);
    let label = sandbox.world().label_named("x").unwrap().id;
    browser.submit(&format!("{PROJECT}/labels/{label}/rename"), &[("name", "y")]).await;
    assert_eq!(sandbox.world().labels_of(2), ["approved", "y"]);
    browser.submit(&format!("{PROJECT}/labels/{label}/delete"), &[]).await;
    browser.submit(&format!("{PROJECT}/labels"), &[("name", "z"), ("color", "#112233")]).await;
    assert_eq!(sandbox.world().labels.len(), 3);
    assert_eq!(browser.submit(&format!("{PROJECT}/boards"), &[("name", "Second")]).await.0, 303);
    assert_eq!(sandbox.world().boards[1].lists.len(), 3);
}

#[tokio::test]
async fn one_may_become_somebody_else() {
    let (sandbox, _) = furnished().await;
    let browser = Browser::new(&sandbox, "nobody-known");
    assert!(browser.page("/").await.contains("<option value=\"reviewer\" selected>"), "the default");
    let url = format!("{}/-/person", sandbox.url());
    for (back, to) in
        [("/dashboard/todos", "/dashboard/todos"), ("//evil.example", "/"), ("https://evil.example", "/")]
    {
        let request = browser.http.post(&url).form(&[("username", "guest"), ("back", back)]);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["location"], to);
        assert!(response.headers()["set-cookie"].to_str().unwrap().starts_with("sandbox_person=guest;"));
    }
}

#[tokio::test]
async fn a_hostile_text_is_shown_not_run() {
    let (sandbox, _) = furnished().await;
    let text = "<script>alert(1)</script>\n\n<img src=x onerror=alert(1)> ![pixel](http://evil/p.png) \
                [go](javascript:alert(1)) <details>\n<summary>More</summary>\n\n| a |\n| - |\n| b |\n\n</details>\n\n\
                <details onclick=x><!-- c -->";
    let iid = sandbox.as_user("guest").create_issue("<b>Title</b>", text, &[]).unwrap();
    let browser = Browser::new(&sandbox, "reviewer");
    let html = browser.page(&format!("{PROJECT}/issues/{iid}")).await;
    for absent in ["<script>alert", "<img", "javascript:", "<b>Title", "<details onclick", "<!-- c"] {
        assert!(!html.contains(absent), "{absent}: {html}");
    }
    for present in
        ["<details>", "<summary>More</summary>", "<td>b</td>", "&lt;script&gt;", "href=\"http://evil/p.png\""]
    {
        assert!(html.contains(present), "{present}: {html}");
    }
    let response = browser.http.get(format!("{}/", browser.base)).send().await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"));
}
