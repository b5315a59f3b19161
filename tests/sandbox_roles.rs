//! Who may do what, and what it puts on whose to-do list.

#[path = "sandbox/support.rs"]
mod support;

use serde_json::{Value, json};
use support::{client, stepped};
use vorhoelle::sandbox::{Options, Role, Sandbox, Visibility};

#[tokio::test]
async fn a_stranger_sees_nothing_of_a_private_project() {
    let (sandbox, _) = stepped().await;
    client(&sandbox, "bot").issue(json!({"title": "t"})).await;
    let stranger = client(&sandbox, "stranger");
    let nothing = (404, json!({"message": "404 Project Not Found"}));
    for path in ["", "issues", "issues/1", "labels", "members/all", "boards", "hooks"] {
        assert_eq!(stranger.get(path).await, nothing, "{path}");
    }
    assert_eq!(stranger.post("issues", json!({"title": "t"})).await, nothing);
    assert_eq!(stranger.get("/user").await.1["username"], "stranger");
}

#[tokio::test]
async fn tokens_expire_are_revoked_and_have_scopes() {
    let (sandbox, clock) = stepped().await;
    let mut bot = client(&sandbox, "bot");
    let (_, token) = bot.get("/personal_access_tokens/self").await;
    assert_eq!(
        (&token["active"], &token["scopes"], &token["expires_at"]),
        (&json!(true), &json!(["api"]), &Value::Null)
    );
    assert_eq!(bot.get("/user").await.1["bot"], true);
    sandbox.world().token_of("bot").unwrap().scopes = vec!["read_api".into()];
    assert_eq!(bot.get("issues").await.0, 200);
    let (status, body) = bot.post("issues", json!({"title": "t"})).await;
    assert_eq!((status, &body["error"]), (403, &json!("insufficient_scope")));
    sandbox.world().token_of("bot").unwrap().expires_at = Some("2026-11-24".parse().unwrap());
    assert_eq!(bot.get("issues").await.0, 200);
    clock.advance(16 * 60 * 60);
    assert_eq!(bot.get("issues").await.1["error"], "invalid_token");
    sandbox.world().token_of("bot").unwrap().expires_at = None;
    sandbox.world().token_of("bot").unwrap().revoked = true;
    assert_eq!(bot.get("issues").await.0, 401);
    bot.token = "nonsense".into();
    assert_eq!(bot.get("issues").await, (401, json!({"message": "401 Unauthorized"})));
    bot.token = String::new();
    assert_eq!(bot.get("/user").await, (401, json!({"message": "401 Unauthorized"})));
    assert_eq!(bot.get("issues").await.0, 404);
    assert_eq!(bot.post("issues", json!({"title": "t"})).await.0, 401);
}

#[tokio::test]
async fn a_guest_sets_labels_only_at_creation() {
    let (sandbox, _) = stepped().await;
    let (bot, guest) = (client(&sandbox, "bot"), client(&sandbox, "guest"));
    bot.post("labels", json!({"name": "known", "color": "red"})).await;
    let (status, issue) = guest.post("issues", json!({"title": "t", "labels": "known,unknown"})).await;
    assert_eq!((status, &issue["labels"]), (201, &json!(["known"])), "unknown ones are dropped silently");
    let at = format!("issues/{}", issue["iid"]);
    let (status, issue) =
        guest.put(&at, json!({"title": "own", "remove_labels": "known", "assignee_ids": [52]})).await;
    assert_eq!((status, &issue["title"]), (200, &json!("own")), "an author may edit the text");
    assert_eq!((&issue["labels"], &issue["assignees"]), (&json!(["known"]), &json!([])));
    let other = bot.issue(json!({"title": "t"})).await;
    assert_eq!(guest.put(&format!("issues/{other}"), json!({"title": "x"})).await.0, 403);
    assert_eq!(guest.post("labels", json!({"name": "x", "color": "red"})).await.0, 403);
    assert_eq!(guest.post("boards", json!({"name": "x"})).await.0, 403);
    assert_eq!(guest.post(&format!("issues/{other}/notes"), json!({"body": "hm"})).await.0, 201);
}

#[tokio::test]
async fn confidential_issues_are_hidden_from_guests() {
    let (sandbox, _) = stepped().await;
    let (bot, guest) = (client(&sandbox, "bot"), client(&sandbox, "guest"));
    let iid = bot.issue(json!({"title": "t", "confidential": true})).await;
    assert_eq!(guest.get(&format!("issues/{iid}")).await.0, 404);
    assert_eq!(guest.get("issues").await.1, json!([]));
    let own = guest.issue(json!({"title": "t", "confidential": true})).await;
    assert_eq!(guest.get(&format!("issues/{own}")).await.0, 200);
    let (_, issue) = bot.put(&format!("issues/{iid}"), json!({"assignee_ids": [57, 56]})).await;
    assert_eq!(issue["assignees"], json!([]), "who may not read it is dropped silently");
    let open = bot.issue(json!({"title": "t"})).await;
    bot.post(&format!("issues/{open}/notes"), json!({"body": "inside", "internal": true})).await;
    assert_eq!(guest.get(&format!("issues/{open}/notes")).await.1, json!([]));
}

#[tokio::test]
async fn deleting_and_hooks_need_their_roles() {
    let (sandbox, _) = stepped().await;
    sandbox.world().add_user("planner", Some(Role::Planner));
    for (name, deletes, hooks) in [
        ("guest", false, false),
        ("planner", true, false),
        ("colleague", false, false),
        ("developer", false, false),
        ("reviewer", false, true),
        ("owner", true, true),
    ] {
        let iid = client(&sandbox, "bot").issue(json!({"title": "t"})).await;
        let person = client(&sandbox, name);
        assert_eq!(
            person.delete(&format!("issues/{iid}")).await.0,
            if deletes { 204 } else { 403 },
            "{name}"
        );
        let status = person.post("hooks", json!({"url": "http://127.0.0.1:1/"})).await.0;
        assert_eq!(status, if hooks { 201 } else { 403 }, "{name}");
    }
}

#[tokio::test]
async fn members_tell_their_level() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let (_, members) = bot.get("members/all").await;
    let levels: Vec<_> =
        members.as_array().unwrap().iter().map(|one| one["access_level"].as_u64().unwrap()).collect();
    assert_eq!(levels, [50, 40, 20, 20, 30, 10]);
    let id = sandbox.as_user("reviewer").id();
    assert_eq!(bot.get(&format!("members/all/{id}")).await.1["access_level"], 40);
    let stranger = sandbox.as_user("stranger").id();
    assert_eq!(bot.get(&format!("members/all/{stranger}")).await.0, 404);
    sandbox.world().set_role("stranger", Some(Role::Guest));
    assert_eq!(bot.get(&format!("members/all/{stranger}")).await.1["access_level"], 10);
    assert_eq!(bot.get("members?query=review").await.1.as_array().unwrap().len(), 1);
    assert_eq!(bot.get("/users?username=reviewer").await.1[0]["id"], id);
    assert_eq!(bot.get("").await.1["permissions"]["project_access"]["access_level"], 20);
}

#[tokio::test]
async fn a_public_project_lets_everybody_take_part() {
    let options = Options { visibility: Visibility::Public, free_tier: true, ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let mut stranger = client(&sandbox, "stranger");
    let iid = stranger.issue(json!({"title": "t", "labels": "x"})).await;
    assert_eq!(sandbox.world().labels_of(iid), Vec::<String>::new());
    assert_eq!(stranger.get("").await.1["visibility"], "public");
    let (_, issue) = client(&sandbox, "bot")
        .put(&format!("issues/{iid}"), json!({"assignee_ids": [52, 53], "discussion_locked": true}))
        .await;
    assert_eq!(issue["assignees"].as_array().unwrap().len(), 1, "the free tier keeps the first");
    assert_eq!(stranger.post(&format!("issues/{iid}/notes"), json!({"body": "x"})).await.0, 403, "locked");
    stranger.token = String::new();
    assert_eq!(stranger.get("issues").await.0, 200);
    assert_eq!(stranger.post("issues", json!({"title": "t"})).await.0, 401);
}

#[tokio::test]
async fn to_do_items_come_and_go() {
    let (sandbox, _) = stepped().await;
    let (bot, reviewer) = (client(&sandbox, "bot"), sandbox.as_user("reviewer"));
    let words = || reviewer.todos().iter().map(|todo| todo.action.word()).collect::<Vec<_>>();
    let text = "cc @reviewer `@colleague`\n\n```\n@developer\n```";
    let iid = bot.issue(json!({"title": "t", "description": text, "assignee_ids": [52]})).await;
    assert_eq!(words(), ["assigned", "mentioned"]);
    assert!(
        sandbox.as_user("colleague").todos().is_empty() && sandbox.as_user("developer").todos().is_empty()
    );
    bot.put(&format!("issues/{iid}"), json!({"add_labels": "x"})).await;
    sandbox.as_user("colleague").comment(iid, "hello").unwrap();
    assert_eq!(words().len(), 2, "others' acts leave them");
    reviewer.relabel(iid, &["y"], &[]).unwrap();
    assert_eq!(words().len(), 0, "one's own resolves them");
    bot.post(&format!("issues/{iid}/notes"), json!({"body": "@reviewer please"})).await;
    bot.post(&format!("issues/{iid}/notes"), json!({"body": "please @reviewer"})).await;
    assert_eq!(words(), ["directly_addressed", "mentioned"]);
    reviewer.react(iid, "eyes").unwrap();
    assert_eq!(words().len(), 0);
    bot.put(&format!("issues/{iid}"), json!({"assignee_ids": [0]})).await;
    bot.put(&format!("issues/{iid}"), json!({"assignee_ids": [52]})).await;
    assert_eq!(words(), ["assigned"]);
    for (title, expected) in [("now with @colleague", 1), ("still with @colleague and @reviewer", 1)] {
        bot.put(&format!("issues/{iid}"), json!({"title": title})).await;
        assert_eq!(sandbox.as_user("colleague").todos().len(), expected);
    }
    assert_eq!(words(), ["assigned"], "who was mentioned before is not told again");
    sandbox.as_user("owner").delete_issue(iid).unwrap();
    assert_eq!(words().len(), 0);
}

#[tokio::test]
async fn the_to_do_list_is_ones_own() {
    let (sandbox, _) = stepped().await;
    let (bot, reviewer) = (client(&sandbox, "bot"), client(&sandbox, "reviewer"));
    let iid = bot.issue(json!({"title": "t", "assignee_ids": [52]})).await;
    let mark = format!("issues/{iid}/todo");
    assert_eq!(bot.post(&mark, Value::Null).await.0, 201);
    assert_eq!(bot.post(&mark, Value::Null).await, (304, Value::Null));
    let (_, own) = reviewer.get("/todos").await;
    assert_eq!((own.as_array().unwrap().len(), &own[0]["action_name"]), (1, &json!("assigned")));
    assert_eq!((&own[0]["target"]["iid"], &own[0]["author"]["username"]), (&json!(iid), &json!("bot")));
    assert_eq!(reviewer.get("/todos?action=marked").await.1, json!([]));
    assert_eq!(reviewer.get("/todos?type=MergeRequest").await.1, json!([]));
    let done = format!("/todos/{}/mark_as_done", own[0]["id"]);
    assert_eq!(bot.post(&done, Value::Null).await.0, 404);
    assert_eq!(reviewer.post(&done, Value::Null).await.1["state"], "done");
    assert_eq!(reviewer.get("/todos").await.1, json!([]));
    assert_eq!(reviewer.get("/todos?state=done").await.1.as_array().unwrap().len(), 1);
    assert_eq!(bot.post("/todos/mark_as_done", Value::Null).await.0, 204);
    assert_eq!(bot.post(&mark, Value::Null).await.0, 201);
    let other = bot.issue(json!({"title": "@all look"})).await;
    assert!(sandbox.as_user("guest").todos().iter().any(|todo| todo.iid == other));
    assert!(sandbox.as_user("stranger").todos().is_empty());
}
