//! Issues, notes, labels, boards and events, as a client meets them.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "sandbox/support.rs"]
mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{client, read, stepped};
use vorhoelle::sandbox::{Options, Sandbox};

fn iids(issues: &Value) -> Vec<u64> {
    issues.as_array().unwrap().iter().map(|issue| issue["iid"].as_u64().unwrap()).collect()
}

fn field<'a>(rows: &'a Value, name: &str) -> Vec<&'a str> {
    rows.as_array().unwrap().iter().map(|row| row[name].as_str().unwrap()).collect()
}

#[tokio::test]
async fn input_comes_as_json_form_or_query() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let form = "title=form&labels=a%2Cb&assignee_ids%5B%5D=52&assignee_ids%5B%5D=53&confidential=true";
    let request =
        bot.request(Method::POST, "issues").header("content-type", "application/x-www-form-urlencoded");
    let (status, issue) = read(request.body(form).send().await.unwrap()).await;
    assert_eq!((status, &issue["labels"], &issue["confidential"]), (201, &json!(["a", "b"]), &json!(true)));
    assert_eq!(issue["assignees"].as_array().unwrap().len(), 2);
    let (_, issue) =
        bot.post("issues", json!({"title": "json", "labels": ["c", "d,e"], "assignee_ids": [52]})).await;
    assert_eq!(issue["labels"], json!(["c", "d", "e"]));
    let (_, issue) = bot.post("issues?title=query&labels=f", Value::Null).await;
    assert_eq!((&issue["title"], &issue["labels"]), (&json!("query"), &json!(["f"])));
    let url = format!("{}/api/v4/projects/acme%2Fjob-matches/issues", sandbox.url());
    let (status, issues) = read(bot.http.get(url).bearer_auth(&bot.token).send().await.unwrap()).await;
    assert_eq!((status, iids(&issues)), (200, vec![3, 2, 1]));
}

#[tokio::test]
async fn errors_have_gitlabs_shapes() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t"})).await;
    let at = format!("issues/{iid}");
    let title = |reason: &str| json!({"message": {"title": [reason]}});
    for (answer, expected) in [
        (bot.post("issues", json!({})).await, (400, json!({"error": "title is missing"}))),
        (bot.post("issues", json!({"title": " "})).await, (400, title("can't be blank"))),
        (
            bot.post("issues", json!({"title": "ö".repeat(256)})).await,
            (400, title("is too long (maximum is 255 characters)")),
        ),
        (
            bot.put(&at, json!({"state_event": "explode"})).await,
            (400, json!({"error": "state_event does not have a valid value"})),
        ),
        (
            bot.put(&at, json!({"confidential": "maybe"})).await,
            (400, json!({"error": "confidential is invalid"})),
        ),
        (bot.get("issues/99").await, (404, json!({"message": "404 Not found"}))),
        (bot.get("/projects/1/issues").await, (404, json!({"message": "404 Project Not Found"}))),
        (bot.get("labels/nope").await, (404, json!({"message": "404 Label Not Found"}))),
        (bot.get("hooks").await, (403, json!({"message": "403 Forbidden"}))),
        (bot.delete(&at).await, (403, json!({"message": "403 Forbidden"}))),
        (bot.get("/nothing").await, (404, json!({"error": "404 Not Found"}))),
        (bot.post(&format!("{at}/notes"), json!({})).await, (400, json!({"error": "body is missing"}))),
    ] {
        assert_eq!(answer, expected);
    }
    assert_eq!(bot.issue(json!({"title": "ö".repeat(255)})).await, 2);
    assert_eq!(bot.put(&at, json!({})).await.0, 400);
    let big = "ö".repeat((1 << 19) + 1);
    let (status, body) = bot.put(&at, json!({"description": big, "add_labels": "kept"})).await;
    assert_eq!(status, 400);
    assert!(body["message"]["description"][0].as_str().unwrap().starts_with("is too long"));
    assert_eq!(
        bot.get(&at).await.1["labels"],
        json!(["kept"]),
        "labels are written before the rest is checked"
    );
    assert_eq!(bot.put(&at, json!({"description": "x".repeat(1 << 20)})).await.0, 200);
}

#[tokio::test]
async fn labels_are_replaced_then_added_then_removed() {
    let (sandbox, clock) = stepped().await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t", "labels": "a,b"})).await;
    let at = format!("issues/{iid}");
    clock.advance(1);
    let change = json!({"labels": "c,d", "add_labels": "e", "remove_labels": "d,unknown"});
    let (_, issue) = bot.put(&at, change).await;
    assert_eq!(issue["labels"], json!(["c", "e"]));
    assert_eq!(issue["updated_at"], "2026-11-23T08:00:01.123Z");
    assert!(sandbox.world().label_named("unknown").is_none(), "removing makes no label");
    assert_eq!(sandbox.world().label_named("e").unwrap().color, "#6699cc");
    let (_, events) = bot.get(&format!("{at}/resource_label_events")).await;
    let told: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            format!("{} {}", event["action"].as_str().unwrap(), event["label"]["name"].as_str().unwrap())
        })
        .collect();
    assert_eq!(told, ["add a", "add b", "add c", "add e", "remove a", "remove b"]);
    let (_, one) = bot.get(&format!("{at}/resource_label_events/{}", events[0]["id"])).await;
    assert_eq!(one, events[0]);
    assert_eq!(bot.put(&at, json!({"labels": ""})).await.1["labels"], json!([]));
}

#[tokio::test]
async fn a_label_keeps_its_id_when_renamed_and_leaves_null_when_deleted() {
    let (sandbox, clock) = stepped().await;
    let bot = client(&sandbox, "bot");
    let (status, label) = bot.post("labels", json!({"name": " job-match/pending ", "color": "#fA0"})).await;
    assert_eq!(
        (status, &label["name"], &label["color"]),
        (201, &json!("job-match/pending"), &json!("#ffAA00"))
    );
    let taken = bot.post("labels", json!({"name": "job-match/pending", "color": "red"})).await;
    assert_eq!(taken, (409, json!({"message": "Label already exists"})));
    assert_eq!(bot.post("labels", json!({"name": "a,b", "color": "red"})).await.0, 400);
    assert_eq!(bot.post("labels", json!({"name": "c", "color": "reddish"})).await.0, 400);
    assert_eq!(bot.post("labels", json!({"name": "c"})).await.0, 400);
    let iid = bot.issue(json!({"title": "t", "labels": "job-match/pending"})).await;
    clock.advance(1);
    let (status, renamed) = bot.put("labels/job-match%2Fpending", json!({"new_name": "waiting"})).await;
    assert_eq!((status, &renamed["id"], &renamed["name"]), (200, &label["id"], &json!("waiting")));
    assert_eq!(bot.get(&format!("labels/{}", label["id"])).await.1["name"], "waiting");
    assert_eq!(bot.get("labels/job-match%2Fpending").await.0, 404);
    let (_, issue) = bot.get(&format!("issues/{iid}?x=1")).await;
    assert_eq!((&issue["labels"], &issue["updated_at"]), (&json!(["waiting"]), &issue["created_at"]));
    let detailed = bot.get("issues?with_labels_details=true").await.1;
    assert_eq!(detailed[0]["labels"][0]["id"], label["id"]);
    let counted = bot.get("labels?with_counts=true").await.1;
    assert_eq!(counted[0]["open_issues_count"], 1);
    assert_eq!(bot.delete(&format!("labels/{}", label["id"])).await, (204, Value::Null));
    let (_, issue) = bot.get(&format!("issues/{iid}")).await;
    assert_eq!((&issue["labels"], &issue["updated_at"]), (&json!([]), &issue["created_at"]));
    let (_, events) = bot.get(&format!("issues/{iid}/resource_label_events")).await;
    assert_eq!(events[0]["label"], Value::Null);
}

#[tokio::test]
async fn lists_are_filtered() {
    let (sandbox, clock) = stepped().await;
    let bot = client(&sandbox, "bot");
    let reviewer = client(&sandbox, "reviewer");
    bot.issue(json!({"title": "Alpha", "description": "marker-1", "labels": "x"})).await;
    clock.advance(10);
    bot.issue(json!({"title": "beta", "labels": "x,y", "assignee_ids": [52], "due_date": "2026-11-23"}))
        .await;
    clock.advance(10);
    reviewer.issue(json!({"title": "Gamma", "confidential": true, "issue_type": "task"})).await;
    bot.put("issues/1", json!({"state_event": "close"})).await;
    bot.post("issues/2/award_emoji", json!({"name": "eyes"})).await;
    for (query, expected) in [
        ("", vec![3, 2, 1]),
        ("state=opened", vec![3, 2]),
        ("state=closed", vec![1]),
        ("labels=x,y", vec![2]),
        ("labels=None", vec![3]),
        ("labels=Any", vec![2, 1]),
        ("labels=X", vec![]),
        ("not[labels]=y", vec![3, 1]),
        ("not%5Blabels%5D=x", vec![3]),
        ("iids[]=1&iids[]=3", vec![3, 1]),
        ("not[iids]=1", vec![3, 2]),
        ("author_username=bot", vec![2, 1]),
        ("author_id=52", vec![3]),
        ("assignee_id=52", vec![2]),
        ("assignee_id=None", vec![3, 1]),
        ("assignee_username=reviewer", vec![2]),
        ("search=MARKER-1", vec![1]),
        ("search=marker-1&in=title", vec![]),
        ("search=alph&in=title", vec![1]),
        ("updated_after=2026-11-23T08:00:20Z", vec![3, 1]),
        ("updated_after=2026-11-23T08:00:20.123456Z", vec![3, 1]),
        ("updated_after=2026-11-23T08:00:20.124Z", vec![]),
        ("updated_before=2026-11-23T08:00:10.123456Z", vec![2]),
        ("updated_before=2026-11-23T08:00:10.123Z", vec![]),
        ("created_after=2026-11-23T08:00:05Z&created_before=2026-11-23T08:00:15Z", vec![2]),
        ("my_reaction_emoji=eyes", vec![2]),
        ("not[my_reaction_emoji]=eyes", vec![3, 2, 1]),
        ("confidential=true", vec![3]),
        ("issue_type=task", vec![3]),
        ("due_date=today", vec![2]),
        ("due_date=0", vec![3, 1]),
        ("scope=created_by_me", vec![2, 1]),
        ("closed_by_id=54", vec![1]),
        ("order_by=updated_at&sort=asc", vec![2, 3, 1]),
        ("order_by=title&sort=asc", vec![1, 2, 3]),
        ("sort=asc", vec![1, 2, 3]),
    ] {
        let (status, issues) = bot.get(&format!("issues?{query}")).await;
        assert_eq!((status, iids(&issues)), (200, expected), "{query}");
    }
    assert_eq!(iids(&reviewer.get("issues?my_reaction_emoji=eyes").await.1), Vec::<u64>::new());
    assert_eq!(bot.get("issues?order_by=colour").await.0, 400);
    assert_eq!(bot.get("issues?updated_after=yesterday").await.0, 400);
}

#[tokio::test]
async fn pages_say_where_they_are() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    for _ in 0..25 {
        sandbox.as_user("bot").create_issue("t", "", &[]).unwrap();
    }
    let get = async |query: &str| bot.request(Method::GET, &format!("issues?{query}")).send().await.unwrap();
    let header =
        |response: &reqwest::Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let first = get("labels=None").await;
    for (name, value) in [
        ("x-page", "1"),
        ("x-per-page", "20"),
        ("x-next-page", "2"),
        ("x-prev-page", ""),
        ("x-total", "25"),
        ("x-total-pages", "2"),
        ("ratelimit-limit", "7200"),
        ("date", "Mon, 23 Nov 2026 08:00:00 GMT"),
    ] {
        assert_eq!(header(&first, name), value, "{name}");
    }
    assert!(!header(&first, "x-request-id").is_empty() && !header(&first, "ratelimit-remaining").is_empty());
    let link = header(&first, "link");
    let next = link.split(", ").find(|link| link.contains("rel=\"next\"")).unwrap();
    let next = next.split(['<', '>']).nth(1).unwrap();
    let followed = bot.http.get(next).header("PRIVATE-TOKEN", &bot.token).send().await.unwrap();
    assert_eq!(header(&followed, "x-next-page"), "");
    assert_eq!(read(followed).await.1.as_array().unwrap().len(), 5);
    assert_eq!(header(&get("per_page=1000").await, "x-per-page"), "100");
    assert_eq!(read(get("page=9").await).await.1, json!([]));
}

#[tokio::test]
async fn short_pages_occur_where_they_are_switched_on() {
    let sandbox = Sandbox::start(Options { short_pages: true, ..Options::default() }).await.unwrap();
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t", "labels": "a,b,c,d,e,f,g"})).await;
    let mut seen = 0;
    let mut lengths = Vec::new();
    for page in 1..=4 {
        let path = format!("issues/{iid}/resource_label_events?per_page=3&page={page}");
        let (_, rows) = bot.get(&path).await;
        lengths.push(rows.as_array().unwrap().len());
        seen += lengths[lengths.len() - 1];
    }
    assert_eq!((lengths, seen), (vec![2, 2, 2, 1], 7));
}

#[tokio::test]
async fn closing_and_reopening_leave_their_marks() {
    let (sandbox, clock) = stepped().await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t"})).await;
    let at = format!("issues/{iid}");
    clock.advance(5);
    let (_, closed) = bot.put(&at, json!({"state_event": "close"})).await;
    assert_eq!((&closed["state"], &closed["closed_by"]["username"]), (&json!("closed"), &json!("bot")));
    assert_eq!(closed["closed_at"], "2026-11-23T08:00:05.123Z");
    let (_, opened) = client(&sandbox, "reviewer").put(&at, json!({"state_event": "reopen"})).await;
    assert_eq!((&opened["state"], &opened["closed_at"]), (&json!("opened"), &Value::Null));
    let (_, events) = bot.get(&format!("{at}/resource_state_events")).await;
    assert_eq!(field(&events, "state"), ["closed", "reopened"]);
    assert_eq!(events[1]["user"]["username"], "reviewer");
    assert_eq!(bot.get(&format!("{at}/resource_state_events/{}", events[0]["id"])).await.1, events[0]);
    let (_, notes) = bot.get(&format!("{at}/notes?sort=asc&activity_filter=only_activity")).await;
    assert_eq!(field(&notes, "body"), ["closed", "reopened"]);
}

#[tokio::test]
async fn a_label_may_go_when_an_issue_is_closed() {
    let (sandbox, _) = stepped().await;
    let bot = sandbox.as_user("bot");
    let iid = bot.create_issue("t", "", &["goes", "stays"]).unwrap();
    sandbox.world().labels[0].remove_on_close = true;
    bot.close(iid).unwrap();
    assert_eq!(sandbox.world().labels_of(iid), ["stays"]);
}

#[tokio::test]
async fn notes_are_written_edited_deleted() {
    let (sandbox, clock) = stepped().await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t"})).await;
    let at = format!("issues/{iid}/notes");
    clock.advance(1);
    let (status, note) = bot.post(&at, json!({"body": "first"})).await;
    assert_eq!((status, &note["system"], &note["noteable_iid"]), (201, &json!(false), &json!(iid)));
    assert_eq!(bot.get(&format!("issues/{iid}")).await.1["updated_at"], "2026-11-23T08:00:01.123Z");
    clock.advance(1);
    bot.put(&format!("issues/{iid}"), json!({"title": "u", "description": "v", "assignee_ids": [52]})).await;
    let (_, notes) = bot.get(&format!("{at}?sort=asc")).await;
    assert_eq!(
        field(&notes, "body"),
        ["first", "changed title from **t** to **u**", "changed the description", "assigned to @reviewer"]
    );
    assert_eq!(field(&bot.get(&format!("{at}?activity_filter=only_comments")).await.1, "body"), ["first"]);
    let one = format!("{at}/{}", note["id"]);
    assert_eq!(client(&sandbox, "developer").put(&one, json!({"body": "x"})).await.0, 403);
    assert_eq!(bot.put(&one, json!({"body": "second"})).await.1["body"], "second");
    assert_eq!(
        client(&sandbox, "reviewer").put(&one, json!({"body": "third"})).await.0,
        200,
        "a Maintainer may"
    );
    let system = format!("{at}/{}", notes[1]["id"]);
    assert_eq!(client(&sandbox, "owner").put(&system, json!({"body": "x"})).await.0, 403);
    assert_eq!(bot.get(&format!("issues/{iid}")).await.1["user_notes_count"], 1);
    assert_eq!(bot.delete(&one).await.0, 204);
    assert_eq!(bot.get(&one).await.0, 404);
    assert_eq!(
        bot.post("issues/99/notes", json!({"body": "x"})).await.1,
        json!({"message": "404 Issue Not Found"})
    );
}

#[tokio::test]
async fn a_reference_is_told_on_the_other_issue() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let one = bot.issue(json!({"title": "one"})).await;
    let url = format!("{}/acme/job-matches/-/issues/{one}", sandbox.url());
    let two = bot.issue(json!({"title": "two", "description": format!("see {url} and `#{one}`")})).await;
    bot.post(&format!("issues/{two}/notes"), json!({"body": format!("again #{one}")})).await;
    let (_, notes) = bot.get(&format!("issues/{one}/notes")).await;
    assert_eq!(field(&notes, "body"), [format!("mentioned in issue #{two}")]);
    let three = bot
        .issue(json!({"title": "three", "description": format!("`#{one}` #\u{200b}{one} \\#{one}")}))
        .await;
    assert_eq!(
        sandbox.world().notes.iter().filter(|note| note.body.contains(&format!("#{three}"))).count(),
        0
    );
}

#[tokio::test]
async fn reactions_are_receipts() {
    let (sandbox, clock) = stepped().await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t"})).await;
    let at = format!("issues/{iid}/award_emoji");
    clock.advance(5);
    let (status, reaction) = bot.post(&at, json!({"name": "email"})).await;
    assert_eq!((status, &reaction["name"]), (201, &json!("e-mail")), "the canonical name comes back");
    let twice = bot.post(&at, json!({"name": "e-mail"})).await;
    assert_eq!(twice, (404, json!({"message": "404 Award Emoji Name has already been taken Not Found"})));
    assert_eq!(bot.post(&at, json!({"name": "no-such-thing"})).await.0, 404);
    let reviewer = client(&sandbox, "reviewer");
    assert_eq!(reviewer.post(&at, json!({"name": "e-mail"})).await.0, 201, "others may add the same");
    let (_, issue) = bot.get(&format!("issues/{iid}")).await;
    assert_eq!(issue["updated_at"], issue["created_at"], "a reaction does not touch the issue");
    assert_eq!(bot.get(&at).await.1.as_array().unwrap().len(), 2);
    let one = format!("{at}/{}", reaction["id"]);
    assert_eq!(bot.get(&one).await.1["id"], reaction["id"]);
    assert_eq!(reviewer.delete(&one).await.0, 401);
    assert_eq!(bot.delete(&one).await.0, 204);
    assert_eq!(bot.delete(&one).await.0, 404);
    assert_eq!(bot.get("issues/99/award_emoji").await.1, json!({"message": "404 Award Emoji Not Found"}));
}

#[tokio::test]
async fn boards_move_cards() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let person = sandbox.as_user("reviewer");
    let (_, a) = bot.post("labels", json!({"name": "a", "color": "red"})).await;
    let (_, b) = bot.post("labels", json!({"name": "b", "color": "blue"})).await;
    let (status, board) = bot.post("boards", json!({"name": "Matches"})).await;
    assert_eq!((status, &board["lists"]), (201, &json!([])));
    let lists = format!("boards/{}/lists", board["id"]);
    for label in [&a, &b] {
        assert_eq!(bot.post(&lists, json!({"label_id": label["id"]})).await.0, 201);
    }
    assert_eq!(bot.post(&lists, json!({"label_id": a["id"]})).await.0, 400);
    let unknown = bot.post(&lists, json!({"label_id": 1})).await;
    assert_eq!(unknown, (400, json!({"message": {"error": "Label not found!"}})));
    let (_, rows) = bot.get(&lists).await;
    let second = format!("{lists}/{}", rows[1]["id"]);
    assert_eq!(bot.put(&second, json!({"position": 0})).await.1["position"], 0);
    assert_eq!(bot.get(&second).await.1["label"]["name"], "b");
    let (_, all) = bot.get("boards").await;
    assert_eq!(all[0]["lists"].as_array().unwrap().len(), 2);
    assert_eq!(bot.put(&format!("boards/{}", board["id"]), json!({"name": "New"})).await.1["name"], "New");

    let iid = bot.issue(json!({"title": "t", "labels": "a,other"})).await;
    let labels = || sandbox.world().labels_of(iid);
    let state = || sandbox.world().issue(iid).unwrap().state.word();
    person.drag(iid, "a", "b").unwrap();
    assert_eq!(labels(), ["b", "other"]);
    person.drag(iid, "b", "Closed").unwrap();
    assert_eq!((labels(), state()), (vec!["other".to_owned()], "closed"));
    person.drag(iid, "Closed", "a").unwrap();
    assert_eq!((labels(), state()), (vec!["a".to_owned(), "other".to_owned()], "opened"));
    person.drag(iid, "a", "Open").unwrap();
    assert_eq!(labels(), ["other"]);
    assert!(person.drag(iid, "Open", "other").is_err(), "there is no such list");

    assert_eq!(bot.delete(&second).await.0, 204);
    bot.delete("labels/a").await;
    assert_eq!(bot.get(&lists).await.1, json!([]), "a list goes with its label");
    assert_eq!(bot.delete(&format!("boards/{}", board["id"])).await.0, 204);
    assert_eq!(bot.get(&lists).await.0, 404);
}

#[tokio::test]
async fn issues_move_change_type_and_go() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t"})).await;
    let at = format!("issues/{iid}");
    let (_, issue) = bot
        .put(&at, json!({"issue_type": "task", "due_date": "2026-12-01", "discussion_locked": true}))
        .await;
    assert_eq!(
        (&issue["issue_type"], &issue["type"], &issue["due_date"]),
        (&json!("task"), &json!("TASK"), &json!("2026-12-01"))
    );
    assert_eq!(bot.put(&at, json!({"due_date": ""})).await.1["due_date"], Value::Null);
    sandbox.as_user("reviewer").move_issue(iid).unwrap();
    let (_, moved) = bot.get(&at).await;
    assert!(moved["moved_to_id"].is_u64() && moved["state"] == "closed");
    let owner = client(&sandbox, "owner");
    assert_eq!(owner.delete(&at).await.0, 204);
    assert_eq!(bot.get(&at).await.0, 404);
    assert_eq!(bot.issue(json!({"title": "t"})).await, iid + 1, "a number does not come again");
    let (status, issue) =
        owner.post("issues", json!({"title": "t", "iid": 40, "created_at": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(
        (status, &issue["iid"], &issue["created_at"]),
        (201, &json!(40), &json!("2020-01-01T00:00:00.000Z"))
    );
    let clash = owner.post("issues", json!({"title": "t", "iid": 40})).await;
    assert_eq!(clash, (409, json!({"message": "Duplicated issue"})));
    assert_eq!(bot.issue(json!({"title": "t", "iid": 99})).await, 41, "others' wishes are ignored");
    sandbox.world().files.insert(".gitlab/issue_templates/Default.md".into(), b"template".to_vec());
    assert_eq!(bot.post("issues", json!({"title": "t"})).await.1["description"], "template");
}

#[tokio::test]
async fn files_of_the_repository_are_read() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    sandbox.world().files.insert("cv/me.pdf".into(), b"%PDF".to_vec());
    let path = "repository/files/cv%2Fme.pdf/raw?ref=main";
    assert_eq!(bot.request(Method::GET, path).send().await.unwrap().text().await.unwrap(), "%PDF");
    assert_eq!(bot.get("repository/files/nothing/raw").await.0, 404);
}
