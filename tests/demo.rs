//! The demo's whole story with the real program: a mail, its link, a draft, and an application that leaves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "support/program.rs"]
mod program;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use mail_parser::MessageParser;
use program::{Running, Setting};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vorhoelle::sandbox::Options;

const TOKEN: &str = "demo-token";

/// The texts of the mails that lie in a folder and hold this.
fn mails_with(folder: &Path, part: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path());
    let whole = files.filter(|path| path.extension().is_some_and(|ending| ending == "eml"));
    let text = |path: PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        let mail = MessageParser::default().parse(&bytes)?;
        let to = mail.to()?.first()?.address()?.to_owned();
        Some(format!("To: {to}\nSubject: {}\n\n{}", mail.subject()?, mail.body_text(0)?.replace('\r', "")))
    };
    whole.filter_map(text).filter(|text| text.contains(part)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mails_link_approves_the_pipeline_drafts_and_a_person_sends() {
    let setting = Setting::new(Options::default()).await;
    let mut command =
        setting.command(&["demo", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0"]);
    // What it leaves behind when it is killed goes with the test.
    command.env("TMPDIR", setting.folder.path()).stderr(Stdio::null());
    let mut running = Running { child: command.spawn().unwrap() };
    let output = BufReader::new(running.child.stdout.take().unwrap());
    let introduction = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        for line in output.lines() {
            said += &format!("{}\n", line.unwrap());
            if said.ends_with("in that folder.\n") {
                break;
            }
        }
        said
    });
    let said = introduction.await.unwrap();
    let after = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in\n{said}")).trim().to_owned()
    };
    let inbox = after("The inbox:");
    let service = inbox.split("/ (").next().unwrap();
    let outbox = PathBuf::from(after("Mails with links:"));
    let get = async |path: &str| {
        let answer = setting.http.get(format!("{service}{path}")).bearer_auth(TOKEN).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };

    // A newcomer opens the mail and follows its link, which asks; its button approves.
    setting.until("the mail about #1", async || !mails_with(&outbox, "/issues/1\n").is_empty()).await;
    let mail = mails_with(&outbox, "/issues/1\n").remove(0);
    let is_link = |word: &&str| word.starts_with(&format!("{service}/a/")) && word.contains("approve");
    let link = mail.split_whitespace().find(is_link).unwrap_or_else(|| panic!("no link in\n{mail}"));
    assert_eq!(setting.http.get(link).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(get("/api/v1/matches/1").await.1["state"], "pending", "looking changes nothing");
    let form: [(&str, &str); 0] = [];
    assert_eq!(setting.http.post(link).form(&form).send().await.unwrap().status(), StatusCode::OK);

    // The pipeline hears of it and writes a draft.
    let draft = "/api/v1/matches/1/draft";
    setting.until("there is a draft", async || get(draft).await.0 == StatusCode::OK).await;
    let (_, written) = get(draft).await;
    assert_eq!(written["to"], "clara.winter@amoria.example");
    assert!(written["body"].as_str().unwrap().starts_with("Guten Tag Clara Winter,"), "{written}");
    assert!(mails_with(&outbox, "Guten Tag Clara").is_empty(), "a draft is not sent by itself");

    // A person edits it and sends exactly that.
    let edited =
        json!({"to": written["to"], "subject": "Bewerbung", "body": "Guten Tag Clara,\n\nich komme gern."});
    let put = setting.http.put(format!("{service}{draft}")).bearer_auth(TOKEN).json(&edited);
    let put = put.header("if-match", written["etag"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::OK);
    let etag = put.json::<Value>().await.unwrap()["etag"].as_str().unwrap().to_owned();
    let send = setting.http.post(format!("{service}/api/v1/matches/1/send")).bearer_auth(TOKEN);
    let sent = send.header("if-match", etag).send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::OK, "{}", sent.text().await.unwrap());
    let application = mails_with(&outbox, "Guten Tag Clara");
    assert_eq!(
        application,
        ["To: clara.winter@amoria.example\nSubject: Bewerbung\n\nGuten Tag Clara,\n\nich komme gern.\n"]
    );

    // The other two channels are to be seen as well.
    let chats = after("Slack and WhatsApp:");
    setting
        .until("both chats show a match", async || {
            let page = setting.http.get(&chats).send().await.unwrap().text().await.unwrap();
            page.contains("class=\"slack\"") && page.contains("class=\"bubble\"")
        })
        .await;
    for path in ["/", "/matches/1/draft"] {
        assert_eq!(
            setting.http.get(format!("{service}{path}")).send().await.unwrap().status(),
            StatusCode::OK
        );
    }
}

/// A proxy that answers nobody, as the environment of an office names one.
const DEAD_PROXY: [(&str, &str); 2] =
    [("http_proxy", "http://127.0.0.1:9"), ("all_proxy", "http://127.0.0.1:9")];

#[tokio::test(flavor = "multi_thread")]
async fn what_listens_on_this_machine_is_reached_without_the_proxy() {
    let mut setting = Setting::new(Options::default()).await;
    setting.variables = DEAD_PROXY.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let listen = ["--once", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0"];
    let (code, said, error) = setting.run(&[&["demo"][..], &listen].concat()).await;
    assert_eq!(code, 0, "{said}{error}");
    // Nor does the doctor ask it for the service's own address, or for GitLab.
    setting.run(&["setup"]).await;
    let _running = setting.serve().await;
    let (_, said, error) = setting.run(&["doctor"]).await;
    assert!(
        said.contains("is Maintainer") && said.contains(&format!("{}/ answers", setting.url(""))),
        "{said}{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_elsewhere_is_asked_for_through_the_proxy() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut setting = Setting::new(Options::default()).await;
    setting.variables = vec![
        ("http_proxy".to_owned(), format!("http://{}", proxy.local_addr().unwrap())),
        ("VORHOELLE_GITLAB_URL".to_owned(), "http://127.gitlab.invalid".to_owned()),
    ];
    let asked = async {
        let (mut stream, _) = proxy.accept().await.unwrap();
        let mut request = [0; 512];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    };
    let ((_, said, error), asked) = tokio::join!(setting.run(&["doctor"]), asked);
    assert!(asked.starts_with("GET http://127.gitlab.invalid/api/v4/user "), "{asked}{said}{error}");
    assert!(said.contains("401"), "{said}{error}");
}
