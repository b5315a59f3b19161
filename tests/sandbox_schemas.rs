//! Every operation answered as GitLab's OpenAPI document and its own JSON schemas say.
//!
//! The schemas are test fixtures of GitLab, older than the API. Three decisions about them:
//! slips that a strict validator refuses are mended (`mend`); their `additionalProperties: false` is dropped,
//! because GitLab itself has got fields since; instead no answer may hold a field that the OpenAPI document does not
//! declare, so that nothing is invented here. The exceptions are in `BEYOND`.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

#[path = "sandbox/support.rs"]
mod support;

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Map, Value, json};
use support::{Client, Receiver, client, shared, shared_json, stepped};

/// Fields of GitLab's entities that the document, a subset, leaves out.
const BEYOND: &[&str] = &[
    ".attachment", // required by the fixture of notes
    "._links.closed_as_duplicate_of",
    ".linkedin",
    ".twitter",
    ".discord",
    ".website_url",
    ".github",
    ".organization",
    ".job_title",
    ".pronouns",
    ".work_information",
    ".local_time", // the profile of GET /user
];

struct Document {
    root: Value,
    fixtures: std::path::PathBuf,
    covered: BTreeSet<String>,
}

/// `nullable` of OpenAPI 3.0, said as JSON Schema says it.
fn with_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(with_nulls);
            if fields.remove("nullable") == Some(json!(true)) {
                let schema = Value::Object(std::mem::take(fields));
                fields.insert("anyOf".into(), json!([schema, {"type": "null"}]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(with_nulls),
        _ => {}
    }
}

/// Upstream's slips in the fixtures.
fn mend(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("type") == Some(&json!("uri")) {
                fields.insert("type".into(), json!("string"));
                fields.insert("format".into(), json!("uri"));
            }
            if fields.get("type") == Some(&json!("string ")) {
                fields.insert("type".into(), json!("string"));
            }
            // Ruby repeats a repetition, other dialects want it grouped.
            if fields.get("pattern") == Some(&json!("^#[0-9A-Fa-f]{3}{1,2}$")) {
                fields.insert("pattern".into(), json!("^#([0-9A-Fa-f]{3}){1,2}$"));
            }
            if fields.get("additionalProperties") == Some(&json!(false)) {
                fields.remove("additionalProperties");
            }
            // A reference among the properties stands for the properties of what it refers to.
            if let Some(Value::Object(properties)) = fields.get("properties")
                && let Some(Value::String(target)) = properties.get("$ref")
            {
                *value = json!({"$ref": target});
                return;
            }
            fields.values_mut().for_each(mend);
        }
        Value::Array(items) => items.iter_mut().for_each(mend),
        _ => {}
    }
}

impl Document {
    fn load() -> Option<Self> {
        let mut root = shared_json("openapi-subset.json")?;
        with_nulls(&mut root);
        Some(Self { root, fixtures: shared()?.join("schemas"), covered: BTreeSet::new() })
    }

    /// A fixture with its files put together.
    fn fixture(&self, name: &str) -> Value {
        let path = self.fixtures.join(name);
        let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        mend(&mut schema);
        self.inline(&mut schema, std::path::Path::new(name));
        schema
    }

    fn inline(&self, value: &mut Value, file: &std::path::Path) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    let target = file.parent().unwrap().join(target.trim_start_matches("./"));
                    *value = self.fixture(target.to_str().unwrap());
                    return;
                }
                fields.values_mut().for_each(|field| self.inline(field, file));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.inline(item, file)),
            _ => {}
        }
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(pointer) => self.resolve(self.root.pointer(&pointer[1..]).unwrap()),
            None => value,
        }
    }

    /// Paths of fields that the schema does not declare.
    fn undeclared(&self, schema: &Value, value: &Value, path: &str) -> Vec<String> {
        match value {
            Value::Array(items) => {
                let schema = self.resolve(schema);
                items.iter().flat_map(|item| self.undeclared(&schema["items"], item, path)).collect()
            }
            Value::Object(fields) => {
                let mut declared = Map::new();
                self.properties(schema, &mut declared);
                if declared.is_empty() {
                    return Vec::new();
                }
                fields
                    .iter()
                    .flat_map(|(key, value)| {
                        let path = format!("{path}.{key}");
                        match declared.get(key) {
                            Some(schema) => self.undeclared(schema, value, &path),
                            None => vec![path],
                        }
                    })
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn properties(&self, schema: &Value, into: &mut Map<String, Value>) {
        let schema = self.resolve(schema);
        if let Some(Value::Object(properties)) = schema.get("properties") {
            into.extend(properties.clone());
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            for part in schema[key].as_array().into_iter().flatten() {
                self.properties(part, into);
            }
        }
    }

    fn validate(&self, schema: &Value, value: &Value, what: &str) {
        let validator = jsonschema::validator_for(schema).unwrap_or_else(|error| panic!("{what}: {error}"));
        let errors: Vec<_> = validator
            .iter_errors(value)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
    }

    /// Makes a call and checks the answer against the operation; `template` is its path in the document.
    async fn call(
        &mut self,
        who: &Client,
        method: Method,
        template: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let mut request = who.request(method.clone(), path);
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let headers = response.headers().clone();
        let (status, answer) = support::read(response).await;
        let what = format!("{method} {template} -> {status}");
        let method = method.as_str().to_lowercase();
        let operation = &self.root["paths"][format!("/api/v4{template}")][method];
        assert!(operation.is_object(), "{what} is not in the document");
        let declared = &operation["responses"][status.to_string()];
        assert!(declared.is_object(), "{what} is not declared: {answer}");
        let declared = self.resolve(declared);
        match declared["content"]["application/json"].get("schema") {
            Some(schema) => {
                let mut whole = schema.clone();
                whole["components"] = self.root["components"].clone();
                self.validate(&whole, &answer, &what);
                let mut extra = self.undeclared(schema, &answer, "");
                extra.retain(|path| !BEYOND.contains(&path.as_str()));
                assert_eq!(extra, Vec::<String>::new(), "{what} invents fields");
            }
            None => assert_eq!(answer, Value::Null, "{what} has no body"),
        }
        if status < 300 && template != "/version" {
            for name in declared["headers"].as_object().into_iter().flat_map(Map::keys) {
                assert!(headers.contains_key(name.to_lowercase()), "{what} lacks {name}");
            }
        }
        self.covered.insert(format!("{} {template}", operation_name(&what)));
        (status, answer)
    }
}

fn operation_name(what: &str) -> &str {
    what.split(' ').next().unwrap()
}

#[tokio::test]
async fn every_operation_answers_as_documented() {
    let Some(mut document) = Document::load() else { return };
    let (sandbox, _) = stepped().await;
    let receiver = Receiver::start().await;
    let (bot, maintainer) = (client(&sandbox, "bot"), client(&sandbox, "reviewer"));
    let mut nobody = bot.clone();
    nobody.token = "wrong".into();
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let project = "/projects/{id}";
    let none = Value::Null;

    // Each row: who, method, path in the document, real path within the project or with a slash, body, status, fixture.
    macro_rules! call {
        ($who:expr, $method:expr, $template:expr, $path:expr, $body:expr, $status:expr, $fixture:expr) => {{
            let template = $template.replace("P", project);
            let (status, answer) =
                document.call(&$who, $method.clone(), &template, &$path, $body.clone()).await;
            assert_eq!(status, $status, "{template}: {answer}");
            let fixture: Option<&str> = $fixture;
            if let Some(fixture) = fixture {
                document.validate(&document.fixture(fixture), &answer, fixture);
            }
            answer
        }};
        ($who:expr, $method:expr, $template:expr, $path:expr, $body:expr, $status:expr) => {
            call!($who, $method, $template, $path, $body, $status, None)
        };
    }

    call!(bot, get, "/version", "/version", none, 200);
    call!(bot, get, "/metadata", "/metadata", none, 200);
    call!(nobody, get, "/version", "/version", none, 401);
    let user = call!(bot, get, "/user", "/user", none, 200, Some("user/basic.json"));
    let mut public = document.fixture("user/public.json");
    // Skype has left GitLab, and is still required by the fixture.
    public["required"].as_array_mut().unwrap().retain(|field| field != "skype");
    document.validate(&public, &user, "user/public.json");
    call!(bot, get, "/personal_access_tokens/self", "/personal_access_tokens/self", none, 200);
    call!(bot, get, "P", "", none, 200);
    call!(client(&sandbox, "stranger"), get, "P", "", none, 404);
    call!(bot, get, "P/members", "members", none, 200);
    call!(bot, get, "P/members/all", "members/all", none, 200);
    call!(bot, get, "P/members/all/{user_id}", "members/all/52", none, 200);

    let body = json!({"name": "job-match/pending", "color": "#F0AD4E", "description": "waits"});
    let label = call!(bot, post, "P/labels", "labels", body, 201, Some("labels/project_label.json"));
    call!(bot, post, "P/labels", "labels", body, 409);
    call!(bot, post, "P/labels", "labels", json!({"name": "a,b", "color": "red"}), 400);
    call!(client(&sandbox, "guest"), post, "P/labels", "labels", json!({"name": "x", "color": "red"}), 403);
    call!(bot, get, "P/labels", "labels?with_counts=true", none, 200);
    call!(bot, get, "P/labels/{name}", "labels/job-match%2Fpending", none, 200, Some("labels/label.json"));
    call!(bot, put, "P/labels/{name}", "labels/job-match%2Fpending", json!({"color": "red"}), 200);
    call!(bot, put, "P/labels/{name}", "labels/job-match%2Fpending", json!({"nothing": 1}), 400);

    let body = json!({
        "title": "t", "description": "- [x] done\n- [ ] open", "labels": ["job-match/pending", "other"],
        "assignee_ids": [52, 53], "due_date": "2026-12-01",
    });
    let issue = call!(bot, post, "P/issues", "issues", body, 201, Some("issue.json"));
    call!(bot, post, "P/issues", "issues", json!({"description": "no title"}), 400);
    call!(nobody, post, "P/issues", "issues", body, 401);
    let at = format!("issues/{}", issue["iid"]);
    call!(bot, get, "P/issues/{issue_iid}", at, none, 200, Some("issue.json"));
    call!(bot, get, "P/issues/{issue_iid}", "issues/99", none, 404);
    let close = json!({"state_event": "close", "add_labels": "more", "remove_labels": "other"});
    call!(maintainer, put, "P/issues/{issue_iid}", at, close, 200, Some("issue.json"));
    call!(bot, put, "P/issues/{issue_iid}", at, json!({"title": ""}), 400);
    call!(client(&sandbox, "guest"), put, "P/issues/{issue_iid}", at, json!({"title": "x"}), 403);
    call!(bot, get, "P/issues", "issues", none, 200, Some("issues.json"));
    call!(bot, get, "P/issues", "issues?with_labels_details=true", none, 200);
    call!(bot, get, "P/issues", "issues?state=sideways", none, 400);

    let notes = format!("{at}/notes");
    let note = call!(bot, post, "P/issues/{noteable_id}/notes", notes, json!({"body": "hello"}), 201);
    call!(bot, post, "P/issues/{noteable_id}/notes", notes, json!({"body": "/reopen"}), 202);
    call!(bot, post, "P/issues/{noteable_id}/notes", notes, json!({"body": ""}), 400);
    let all = call!(bot, get, "P/issues/{noteable_id}/notes", notes, none, 200, Some("notes.json"));
    assert!(all.as_array().unwrap().len() > 2);
    let one = format!("{notes}/{}", note["id"]);
    call!(bot, get, "P/issues/{noteable_id}/notes/{note_id}", one, none, 200);
    call!(bot, put, "P/issues/{noteable_id}/notes/{note_id}", one, json!({"body": "edited"}), 200);
    let developer = client(&sandbox, "developer");
    call!(developer, put, "P/issues/{noteable_id}/notes/{note_id}", one, json!({"body": "x"}), 403);
    call!(bot, delete, "P/issues/{noteable_id}/notes/{note_id}", one, none, 204);
    call!(bot, get, "P/issues/{noteable_id}/notes/{note_id}", one, none, 404);

    let awards = format!("{at}/award_emoji");
    let award = call!(bot, post, "P/issues/{issue_iid}/award_emoji", awards, json!({"name": "eyes"}), 201);
    call!(bot, post, "P/issues/{issue_iid}/award_emoji", awards, json!({"name": "eyes"}), 404);
    call!(bot, post, "P/issues/{issue_iid}/award_emoji", awards, json!({"nothing": 1}), 400);
    call!(bot, get, "P/issues/{issue_iid}/award_emoji", awards, none, 200);
    let one = format!("{awards}/{}", award["id"]);
    call!(bot, get, "P/issues/{issue_iid}/award_emoji/{award_id}", one, none, 200);
    call!(maintainer, delete, "P/issues/{issue_iid}/award_emoji/{award_id}", one, none, 401);
    call!(bot, delete, "P/issues/{issue_iid}/award_emoji/{award_id}", one, none, 204);

    let events = format!("{at}/resource_label_events");
    let told = call!(bot, get, "P/issues/{eventable_id}/resource_label_events", events, none, 200);
    let one = format!("{events}/{}", told[0]["id"]);
    let event = call!(bot, get, "P/issues/{eventable_id}/resource_label_events/{event_id}", one, none, 200);
    document.validate(&document.fixture("label_basic.json"), &event["label"], "label_basic.json");
    call!(
        bot,
        get,
        "P/issues/{eventable_id}/resource_label_events/{event_id}",
        format!("{events}/1"),
        none,
        404
    );

    let todo = call!(bot, post, "P/issues/{issue_iid}/todo", format!("{at}/todo"), none, 201);
    call!(bot, post, "P/issues/{issue_iid}/todo", format!("{at}/todo"), none, 304);
    call!(bot, get, "/todos", "/todos", none, 200);
    call!(bot, post, "/todos/{id}/mark_as_done", format!("/todos/{}/mark_as_done", todo["id"]), none, 201);
    call!(
        maintainer,
        post,
        "/todos/{id}/mark_as_done",
        format!("/todos/{}/mark_as_done", todo["id"]),
        none,
        404
    );
    call!(bot, post, "/todos/mark_as_done", "/todos/mark_as_done", none, 204);

    let board = call!(bot, post, "P/boards", "boards", json!({"name": "Matches"}), 201);
    let lists = format!("boards/{}/lists", board["id"]);
    let list = call!(bot, post, "P/boards/{board_id}/lists", lists, json!({"label_id": label["id"]}), 201);
    call!(bot, post, "P/boards/{board_id}/lists", lists, json!({"label_id": 1}), 400);
    call!(bot, get, "P/boards/{board_id}/lists", lists, none, 200);
    let one = format!("{lists}/{}", list["id"]);
    call!(bot, get, "P/boards/{board_id}/lists/{list_id}", one, none, 200);
    call!(bot, put, "P/boards/{board_id}/lists/{list_id}", one, json!({"position": 0}), 200);
    call!(bot, get, "P/boards", "boards", none, 200, Some("boards.json"));
    let board = format!("boards/{}", board["id"]);
    call!(bot, get, "P/boards/{board_id}", board, none, 200, Some("board.json"));
    call!(bot, put, "P/boards/{board_id}", board, json!({"name": "Other"}), 200, Some("board.json"));
    call!(bot, delete, "P/boards/{board_id}/lists/{list_id}", one, none, 204);
    call!(bot, delete, "P/boards/{board_id}", board, none, 204);
    call!(bot, get, "P/boards/{board_id}", board, none, 404);

    let body = json!({"url": receiver.url, "issues_events": true, "token": "t", "push_events": false});
    let hook = call!(maintainer, post, "P/hooks", "hooks", body, 201, Some("project_hook.json"));
    call!(maintainer, post, "P/hooks", "hooks", json!({"url": "nonsense"}), 422);
    call!(bot, post, "P/hooks", "hooks", body, 403);
    call!(maintainer, get, "P/hooks", "hooks", none, 200, Some("project_hooks.json"));
    let at_hook = format!("hooks/{}", hook["id"]);
    call!(maintainer, get, "P/hooks/{hook_id}", at_hook, none, 200, Some("project_hook.json"));
    call!(maintainer, put, "P/hooks/{hook_id}", at_hook, json!({"note_events": true}), 200);
    let test = "P/hooks/{hook_id}/test/{trigger}";
    call!(maintainer, post, test, format!("{at_hook}/test/issues_events"), none, 201);
    call!(maintainer, post, test, format!("{at_hook}/test/nonsense"), none, 400);
    receiver.answer(500);
    call!(maintainer, post, test, format!("{at_hook}/test/issues_events"), none, 422);
    receiver.answer(204);
    let log = format!("{at_hook}/events");
    let entries = call!(maintainer, get, "P/hooks/{hook_id}/events", log, none, 200);
    let resend = format!("{log}/{}/resend", entries[0]["id"]);
    call!(maintainer, post, "P/hooks/{hook_id}/events/{hook_log_id}/resend", resend, none, 201);
    call!(maintainer, delete, "P/hooks/{hook_id}", at_hook, none, 204);
    call!(maintainer, get, "P/hooks/{hook_id}", at_hook, none, 404);
    call!(bot, delete, "P/labels/{name}", "labels/job-match%2Fpending", none, 204);

    let declared: BTreeSet<String> = document.root["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, operations)| {
            let path = path.trim_start_matches("/api/v4").to_owned();
            operations
                .as_object()
                .unwrap()
                .keys()
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    assert_eq!(
        declared.difference(&document.covered).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not called"
    );
}
