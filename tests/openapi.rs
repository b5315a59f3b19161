//! The API's description, held against real answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{World, job};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn document(world: &World) -> Value {
    let (status, document) = world.get("/api/v1/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    document
}

/// Checks an answer against what the description says of this call, status and content type.
fn check(document: &Value, method: &str, path: &str, status: StatusCode, content_type: &str, answer: &Value) {
    let response = &document["paths"][path][method]["responses"][status.as_str()];
    assert!(response.is_object(), "{method} {path} says nothing of {status}");
    let mut schema = response["content"][content_type]["schema"].clone();
    assert!(schema.is_object(), "{method} {path} {status} says nothing of {content_type}");
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let wrong: Vec<String> =
        validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:#?}\n{answer:#}");
}

async fn call(
    world: &World,
    document: &Value,
    method: Method,
    path: &str,
    pattern: &str,
    body: Option<Value>,
) -> StatusCode {
    let mut request = world.http.request(method.clone(), world.url(path)).bearer_auth(support::TOKEN);
    if let Some(body) = &body {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let content_type =
        answer.headers()["content-type"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let text = answer.text().await.unwrap();
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    check(document, &method.as_str().to_lowercase(), pattern, status, &content_type, &value);
    status
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let world = World::new().await;
    let document = document(&world).await;
    assert_eq!(document["openapi"], "3.1.0");
    let draft = &document["components"]["schemas"]["PutDraft"];
    assert_eq!(draft["required"], json!(["subject", "body"]), "{draft:#}");
    assert_eq!(draft["properties"]["subject"]["type"], "string", "{draft:#}");
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
    let mut names: Vec<&str> =
        operations.map(|(_, operation)| operation["operationId"].as_str().unwrap()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "each operation has a name of its own");
    let matches = "/api/v1/matches";
    let one = "/api/v1/matches/{iid}";
    let demo: Vec<Value> = serde_json::from_str(include_str!("../config/demo-matches.json")).unwrap();
    let many = json!([demo[1], {"title": "x"}, {"title": "y", "score": 3}, demo[1]]);
    let mut calls = vec![
        (Method::POST, matches, matches, Some(demo[0].clone()), 201),
        (Method::POST, matches, matches, Some(demo[0].clone()), 200),
        (Method::POST, matches, matches, Some(many), 200),
        (Method::POST, matches, matches, Some(json!({"title": ""})), 422),
        (Method::GET, "/api/v1/matches?limit=1", matches, None, 200),
        (Method::GET, "/api/v1/matches?limit=0", matches, None, 422),
        (Method::GET, "/api/v1/matches/1", one, None, 200),
        (Method::GET, "/api/v1/matches/999", one, None, 404),
        (Method::PATCH, "/api/v1/matches/1", one, Some(json!({"state": "approved", "comment": "yes"})), 200),
        (Method::PATCH, "/api/v1/matches/2", one, Some(json!({"state": "sent"})), 409),
        (Method::PATCH, "/api/v1/matches/1", one, Some(json!({"state": "gone"})), 422),
        (Method::GET, "/api/v1/decisions", "/api/v1/decisions", None, 200),
        (Method::GET, "/api/v1/stats", "/api/v1/stats", None, 200),
        (Method::PATCH, "/api/v1/config", "/api/v1/config", Some(json!({"min_score": 75})), 200),
        (Method::PATCH, "/api/v1/config", "/api/v1/config", Some(json!({"reviewers": []})), 409),
        (Method::GET, "/api/v1/config", "/api/v1/config", None, 200),
        (
            Method::POST,
            "/api/v1/notify/test",
            "/api/v1/notify/test",
            Some(json!({"channels": ["email", "todo"]})),
            200,
        ),
        (Method::POST, "/api/v1/tick", "/api/v1/tick", None, 200),
        (Method::GET, "/livez", "/livez", None, 200),
        (Method::GET, "/readyz", "/readyz", None, 200),
        (Method::GET, "/health", "/health", None, 200),
        (Method::GET, "/metrics", "/metrics", None, 200),
        (Method::POST, "/webhooks/gitlab", "/webhooks/gitlab", Some(json!({})), 401),
    ];
    for (method, path, pattern, body, expected) in calls.drain(..) {
        let status = call(&world, &document, method.clone(), path, pattern, body).await;
        assert_eq!(status.as_u16(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn every_address_takes_the_methods_that_are_described_and_no_others() {
    let world = World::new().await;
    let document = document(&world).await;
    let mut described = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let url = world.url(&path.replace("{iid}", "1"));
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let (status, answer) = world.call(world.http.request(method.clone(), &url)).await;
            let is_taken = status != StatusCode::METHOD_NOT_ALLOWED;
            if !is_taken {
                assert!(
                    answer["detail"].as_str().is_some_and(|detail| detail.contains("`Allow`")),
                    "{answer}"
                );
            }
            let is_described = methods.get(method.as_str().to_lowercase()).is_some();
            assert_eq!(is_taken, is_described, "{method} {path}: {status}");
            described += usize::from(is_described);
        }
    }
    assert!(described > 15, "{described}");
    world.finish().await;
}

#[tokio::test]
async fn what_may_be_posted_is_described_to_the_letter() {
    let world = World::new().await;
    let document = document(&world).await;
    let mut schema = document["components"]["schemas"]["PostedMatch"].clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let demo: Vec<Value> = serde_json::from_str(include_str!("../config/demo-matches.json")).unwrap();
    for one in demo.iter().chain([&job("1")]) {
        assert!(validator.is_valid(one), "{one:#}");
    }
    for wrong in [
        json!({"title": "x"}),
        json!({"title": "x", "score": 101}),
        json!({"title": "x", "score": 80, "salary": 1}),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
    let example = &document["paths"]["/api/v1/matches"]["post"]["requestBody"]["content"]["application/json"]
        ["example"];
    assert!(validator.is_valid(example), "{example}");
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let world = World::new().await;
    let page = world.http.get(world.url("/docs/")).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    let text = page.text().await.unwrap();
    assert!(text.contains("<noscript>") && text.contains("<a href=\"openapi.json\">"), "{text}");
    for part in text.split(['"', '\'']).filter(|part| part.ends_with(".js") || part.ends_with(".css")) {
        assert!(!part.contains("//"), "{part}");
        let file = world.http.get(world.url("/docs/")).send().await.unwrap().url().join(part).unwrap();
        let file = world.http.get(file).send().await.unwrap();
        assert_eq!(file.status(), StatusCode::OK, "{part}");
    }
    let initializer = world.http.get(world.url("/docs/swagger-initializer.js")).send().await.unwrap();
    let initializer = initializer.text().await.unwrap();
    assert!(initializer.contains("\"openapi.json\"") && !initializer.contains("https://"), "{initializer}");
    // Else Swagger UI has the address checked by its makers' server, wherever it is not localhost.
    assert!(initializer.contains("\"validatorUrl\": \"none\""), "{initializer}");
    // Below the path of a proxy too.
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let bare = http.get(world.url("/docs")).send().await.unwrap();
    assert_eq!(
        (bare.status(), &bare.headers()["location"]),
        (StatusCode::PERMANENT_REDIRECT, &"docs/".parse().unwrap())
    );
    let document = world.http.get(world.url("/docs/openapi.json")).send().await.unwrap();
    assert_eq!(document.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_answered_as_every_error_is() {
    let world = World::new().await;
    let document = document(&world).await;
    for (path, pattern) in [
        ("/api/v1/matches", "/api/v1/matches"),
        ("/api/v1/matches/1/send", "/api/v1/matches/{iid}/send"),
        ("/api/v1/notify/test", "/api/v1/notify/test"),
    ] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let token = support::TOKEN;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\nno size\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer}"));
        assert!(head.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(head.contains("content-type: application/problem+json"), "{path}: {answer}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["detail"], "the body did not arrive whole");
        check(&document, "post", pattern, StatusCode::BAD_REQUEST, "application/problem+json", &body);
    }
}

/// Two kinds of channel bear one name in the code.
#[tokio::test]
async fn what_may_be_changed_of_a_channel_is_described() {
    let world = World::new().await;
    let document = document(&world).await;
    let operation = &document["paths"]["/api/v1/config"]["patch"];
    let mut schema = operation["requestBody"]["content"]["application/json"]["schema"].clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    assert!(validator.is_valid(&json!({"channels": {"email": {"enabled": true, "delay": "30m"}}})));
    assert!(!validator.is_valid(&json!({"channels": {"email": "email"}})));
    let mut posted = json!({"$ref": "#/components/schemas/PostedMatch"});
    posted["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&posted).unwrap();
    assert!(validator.is_valid(&json!({"title": "Rust", "score": 80})));
    assert!(!validator.is_valid(&json!({"title": "Rust", "score": null})), "it is required");
}
