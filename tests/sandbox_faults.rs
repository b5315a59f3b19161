//! What goes wrong on purpose, from inside and over HTTP.

#[path = "sandbox/support.rs"]
mod support;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use support::{client, stepped};
use vorhoelle::sandbox::{Fault, Options, Outage, Sandbox, Trouble};

#[tokio::test]
async fn an_answer_is_lost_after_the_work_or_before_it() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let create = async || bot.request(Method::POST, "issues").json(&json!({"title": "t"})).send().await;
    sandbox.fault(Fault::new(Method::POST, "/issues", Trouble::DropAnswer).after(1).times(2));
    assert_eq!(create().await.unwrap().status(), 201);
    assert!(create().await.is_err() && create().await.is_err());
    assert_eq!(sandbox.world().issues.len(), 3);
    assert!(sandbox.faults().is_empty());
    sandbox.fault(Fault::new(Method::POST, "/issues", Trouble::CutBefore));
    assert!(create().await.is_err());
    assert_eq!(sandbox.world().issues.len(), 3);
    sandbox.fault(Fault::new(Method::POST, "/issues", Trouble::CutBody));
    assert!(create().await.unwrap().text().await.is_err());
    assert_eq!(sandbox.world().issues.len(), 4);
    let statuses: Vec<_> = sandbox.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [201, 0, 0, 0, 201]);
}

#[tokio::test]
async fn errors_come_in_all_their_shapes() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let get = async || bot.request(Method::GET, "issues").send().await.unwrap();
    sandbox.fault(Fault::any("/issues", Trouble::rate_limited(17)));
    let limited = get().await;
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().unwrap()), (429, "17"));
    assert_eq!(limited.text().await.unwrap(), "Retry later\n");
    sandbox.fault(Fault::any("/issues", Trouble::application_limit()));
    let limited = get().await;
    assert_eq!((limited.status().as_u16(), limited.headers().get("retry-after")), (429, None));
    assert!(limited.json::<Value>().await.unwrap()["message"]["error"].is_string());
    sandbox.fault(Fault::any("/issues", Trouble::bad_gateway()));
    let gone = get().await;
    assert_eq!(
        (gone.status().as_u16(), gone.headers()["content-type"].to_str().unwrap()),
        (502, "text/html")
    );
    sandbox.fault(Fault::any("/issues", Trouble::status(503)));
    assert_eq!(get().await.status(), 503);
    assert_eq!(get().await.status(), 200);
}

#[tokio::test]
async fn slow_answers_take_their_time() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let pause = Duration::from_millis(60);
    for trouble in [Trouble::slow(pause), Trouble::slow_body(pause)] {
        sandbox.fault(Fault::any("/version", trouble));
        let started = Instant::now();
        assert_eq!(bot.get("/version").await.0, 200);
        assert!(started.elapsed() >= pause);
    }
    sandbox.fault(Fault::any("/version", Trouble::slow(Duration::from_secs(60))));
    let request = bot.request(Method::GET, "/version").timeout(Duration::from_millis(50));
    assert!(request.send().await.is_err_and(|error| error.is_timeout()));
}

#[tokio::test]
async fn a_stale_read_is_one_change_behind() {
    let (sandbox, clock) = stepped().await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t", "labels": "a"})).await;
    sandbox.fault(Fault::any("/issues", Trouble::Stale).times(2));
    assert_eq!(bot.get(&format!("issues/{iid}")).await.0, 404, "it was just created");
    assert_eq!(bot.get("issues").await.1, json!([]));
    sandbox.as_user("reviewer").relabel(iid, &["b"], &["a"]).unwrap();
    sandbox.fault(Fault::any("/issues", Trouble::Stale).times(2));
    assert_eq!(bot.get(&format!("issues/{iid}")).await.1["labels"], json!(["a"]));
    assert_eq!(bot.get("issues").await.1[0]["labels"], json!(["a"]));
    assert_eq!(bot.get(&format!("issues/{iid}")).await.1["labels"], json!(["b"]));
    clock.advance(120);
    sandbox.fault(Fault::any("/issues", Trouble::Stale).times(2));
    assert_eq!(bot.get(&format!("issues/{iid}")).await.1["labels"], json!(["b"]), "no copy lags for so long");
    assert_eq!(bot.get("issues").await.1[0]["labels"], json!(["b"]));
}

#[tokio::test]
async fn the_whole_instance_goes_away_and_comes_back() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    sandbox.outage(Outage::BadGateway);
    assert_eq!(bot.get("/version").await.0, 502);
    sandbox.outage(Outage::Refused);
    assert!(bot.request(Method::GET, "/version").send().await.is_err());
    sandbox.outage(Outage::None);
    assert_eq!(bot.get("/version").await.0, 200);
    sandbox.stop();
    assert!(bot.request(Method::GET, "/version").send().await.is_err());
}

#[tokio::test]
async fn limits_count_by_user_and_minute() {
    let clock = support::Clock::new();
    let options = Options {
        now: clock.now(),
        issues_per_minute: Some(2),
        notes_per_minute: Some(1),
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t"})).await;
    bot.issue(json!({"title": "t"})).await;
    let (status, body) = bot.post("issues", json!({"title": "t"})).await;
    assert_eq!(status, 429);
    assert!(body["message"]["error"].as_str().unwrap().contains("too many times"));
    client(&sandbox, "guest").issue(json!({"title": "t"})).await;
    let note = format!("issues/{iid}/notes");
    assert_eq!(bot.post(&note, json!({"body": "x"})).await.0, 201);
    assert_eq!(bot.post(&note, json!({"body": "x"})).await.0, 429);
    clock.advance(60);
    bot.issue(json!({"title": "t"})).await;
    assert_eq!(bot.post(&note, json!({"body": "x"})).await.0, 201);
}

#[tokio::test]
async fn every_switch_is_there_over_http() {
    let (sandbox, _) = stepped().await;
    let mut receiver = support::Receiver::start().await;
    let bot = client(&sandbox, "bot");
    let maintainer = client(&sandbox, "reviewer");
    maintainer.post("hooks", json!({"url": receiver.url, "issues_events": true})).await;
    let control = async |method: Method, path: &str, body: Value| {
        let url = format!("{}/sandbox/{path}", sandbox.url());
        support::read(bot.http.request(method, url).json(&body).send().await.unwrap()).await
    };
    let (_, users) = control(Method::GET, "users", Value::Null).await;
    let found = users.as_array().unwrap().iter().find(|user| user["username"] == "reviewer").unwrap();
    assert_eq!((&found["role"], &found["token"]), (&json!("maintainer"), &json!("sandbox-reviewer-token")));
    let fault = json!({"method": "GET", "path": "/version", "trouble": {"answer": {
        "status": 503, "content_type": "text/plain", "body": "no", "retry_after": 3}}});
    assert_eq!(control(Method::POST, "faults", fault).await.0, 204);
    assert_eq!(control(Method::GET, "faults", Value::Null).await.1.as_array().unwrap().len(), 1);
    assert_eq!(bot.get("/version").await.0, 503);
    assert_eq!(control(Method::POST, "faults", json!({"trouble": "drop_answer", "times": 9})).await.0, 204);
    assert_eq!(control(Method::DELETE, "faults", Value::Null).await.0, 204);
    assert_eq!(control(Method::POST, "faults", json!({"trouble": "nonsense"})).await.0, 400);
    assert_eq!(control(Method::POST, "hooks-mode", json!({"mode": "hold"})).await.0, 204);
    bot.issue(json!({"title": "t"})).await;
    let (_, held) = control(Method::GET, "held", Value::Null).await;
    assert_eq!((&held[0]["action"], &held[0]["iid"]), (&json!("open"), &json!(1)));
    let (_, copy) = control(Method::POST, "held/1/double", Value::Null).await;
    assert_eq!(control(Method::POST, "held/1/deliver", Value::Null).await.1, json!({"status": 200}));
    assert_eq!(control(Method::DELETE, &format!("held/{}", copy["id"]), Value::Null).await.0, 204);
    assert_eq!(receiver.all(&sandbox).await.len(), 1);
    assert_eq!(control(Method::POST, "settled", Value::Null).await.0, 204);
    assert_eq!(control(Method::POST, "outage", json!({"outage": "bad_gateway"})).await.0, 204);
    assert_eq!(bot.get("/version").await.0, 502);
    assert_eq!(control(Method::POST, "outage", json!({"outage": "none"})).await.0, 204);
    let (_, calls) = control(Method::GET, "calls", Value::Null).await;
    let routes: Vec<_> =
        calls.as_array().unwrap().iter().map(|call| call["route"].as_str().unwrap()).collect();
    assert_eq!(routes, ["/projects/:id/hooks", "/version", "/projects/:id/issues", "/version"]);
    assert_eq!(control(Method::DELETE, "calls", Value::Null).await.0, 204);
    assert!(sandbox.calls().is_empty());
    assert_eq!(control(Method::GET, "nothing", Value::Null).await.0, 404);
}

#[tokio::test]
async fn an_instance_may_live_under_a_path() {
    let sandbox = Sandbox::start(Options { prefix: "/gitlab".into(), ..Options::default() }).await.unwrap();
    assert!(sandbox.url().ends_with("/gitlab"));
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t"})).await;
    let (_, issue) = bot.get(&format!("issues/{iid}")).await;
    assert_eq!(issue["web_url"], format!("{}/acme/job-matches/-/issues/1", sandbox.url()));
}

#[tokio::test]
async fn starting_one_is_quick() {
    Sandbox::start(Options::default()).await.unwrap();
    let started = Instant::now();
    for _ in 0..50 {
        Sandbox::start(Options::default()).await.unwrap();
    }
    println!("50 starts took {:?}", started.elapsed());
    // Generous by an order of magnitude, for machines that do other things.
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
