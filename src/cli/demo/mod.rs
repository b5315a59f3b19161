//! `vorhoelle demo`: the whole service with nothing installed and no account.

mod pipeline;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use self::pipeline::Pipeline;
use super::{Context, asked_to_stop, print, say, setup};
use crate::app::App;
use crate::clock::Clock;
use crate::config::{Environment, Settings};
use crate::sandbox::{Options, Sandbox};

/// The sample matches.
const MATCHES: &str = include_str!("../../../config/demo-matches.json");
/// The API token of the demo; the service listens on this machine only.
const TOKEN: &str = "demo-token";
/// How long `--once` waits for the service to follow the reviewer.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(20);

/// Run the whole service beside an embedded GitLab sandbox: no account, nothing installed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vorhoelle demo\n  vorhoelle demo --once")]
pub(super) struct Arguments {
    /// Where the service listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the GitLab sandbox listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8929")]
    sandbox_listen: SocketAddr,
    /// Stage the matches, approve one and reject one in the sandbox, print what became of them, and end.
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> anyhow::Result<ExitCode> {
    let sandbox = start_sandbox(arguments.sandbox_listen).await?;
    let folder = tempfile::tempdir().context("no folder for the demo's mirror can be made")?;
    let listen = free(arguments.listen).await?;
    let pipeline = Pipeline::bind(listen.ip()).await?;
    let settings = settings(&sandbox, &pipeline, listen, folder.path(), context)?;
    setup::set_up(&settings, false, &mut Vec::new()).await.context("the sandbox could not be set up")?;
    let app = App::start(settings, Clock::System).await?;
    let client = Client::builder().no_proxy().build().context("no HTTP client can be made")?;
    let service = format!("http://{}", app.address());
    let _pipeline = pipeline.start(client.clone(), service.clone(), TOKEN);
    let staged = stage(&client, &service).await?;
    print(&introduction(&sandbox, &service, &staged, &outbox(folder.path())));
    if arguments.once {
        once(&client, &sandbox, &service).await?;
    } else {
        say("Ctrl-C ends it; nothing is kept.");
        asked_to_stop().await;
    }
    app.stop().await;
    sandbox.stop();
    Ok(ExitCode::SUCCESS)
}

async fn start_sandbox(wanted: SocketAddr) -> anyhow::Result<Sandbox> {
    let listen = free(wanted).await?;
    let options = Options { listen, ..Options::default() };
    Sandbox::start(options).await.with_context(|| format!("the sandbox cannot listen on {listen}"))
}

/// The address, or one with a free port where somebody else has it: a newcomer should not have to care.
async fn free(wanted: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = match tokio::net::TcpListener::bind(wanted).await {
        Ok(listener) => listener,
        Err(_) => tokio::net::TcpListener::bind(SocketAddr::new(wanted.ip(), 0))
            .await
            .with_context(|| format!("cannot listen on {wanted}, nor on any other port there"))?,
    };
    Ok(listener.local_addr()?)
}

fn settings(
    sandbox: &Sandbox,
    pipeline: &Pipeline,
    listen: SocketAddr,
    folder: &std::path::Path,
    context: &Context,
) -> anyhow::Result<Settings> {
    let mirror = folder.join("mirror.sqlite");
    let outbox = outbox(folder);
    let [twilio_account, twilio_token, twilio_sender] = sandbox.twilio().map(str::to_owned);
    let variables = [
        ("GITLAB_URL", sandbox.url().to_owned()),
        ("GITLAB_TOKEN", sandbox.token("bot")),
        ("SETUP_TOKEN", sandbox.token("owner")),
        ("GITLAB_PROJECT", sandbox.project().to_owned()),
        ("WEBHOOK_SECRET", uuid::Uuid::new_v4().to_string()),
        ("API_TOKENS", format!("demo:{TOKEN}")),
        ("REVIEWERS", "reviewer".to_owned()),
        // Whatever the settings file of this folder says: it may be a real service's.
        ("ENFORCE_REVIEWERS", "false".to_owned()),
        ("MIN_SCORE", "70".to_owned()),
        ("LISTEN", listen.to_string()),
        ("PUBLIC_URL", format!("http://{listen}")),
        ("DATABASE", mirror.to_string_lossy().into_owned()),
        ("MAIL_FILE_DIR", outbox.to_string_lossy().into_owned()),
        ("MAIL_FROM", "Vorhölle <jobs@vorhoelle.example>".to_owned()),
        ("MAIL_TO", "reviewer@vorhoelle.example".to_owned()),
        ("LINK_SECRET", uuid::Uuid::new_v4().to_string()),
        ("SLACK_WEBHOOK_URL", sandbox.slack_webhook_url()),
        ("TWILIO_API_URL", sandbox.url().to_owned()),
        ("TWILIO_ACCOUNT_SID", twilio_account),
        ("TWILIO_AUTH_TOKEN", twilio_token),
        ("TWILIO_FROM", twilio_sender),
        ("TWILIO_TO", "+43155501234".to_owned()),
        ("EVENTS_URL", pipeline.url()?),
        ("EVENTS_SECRET", pipeline.secret()),
    ];
    let mut environment = Environment::default();
    for (name, value) in variables {
        environment.set(name, value);
    }
    if let Some(templates) = context.environment.get("TEMPLATES") {
        environment.set("TEMPLATES", templates);
    }
    Ok(Settings::load(context.config.as_deref(), &environment)?)
}

/// Where the demo's mails go.
fn outbox(folder: &std::path::Path) -> std::path::PathBuf {
    folder.join("outbox")
}

/// Stages the sample matches one after the other, so that they have the same numbers every time.
async fn stage(client: &Client, service: &str) -> anyhow::Result<Vec<Value>> {
    let matches: Vec<Value> = serde_json::from_str(MATCHES)?;
    let mut staged = Vec::with_capacity(matches.len());
    for job in &matches {
        staged.push(stage_one(client, service, job).await?);
    }
    Ok(staged)
}

async fn stage_one(client: &Client, service: &str, job: &Value) -> anyhow::Result<Value> {
    loop {
        let request = client.post(format!("{service}/api/v1/matches")).bearer_auth(TOKEN).json(job);
        let answer = request.send().await?;
        if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
            return Ok(answer.error_for_status()?.json().await?);
        }
        // The service has just started and is still reading the sandbox.
        Clock::System.sleep(Duration::from_millis(20)).await;
    }
}

fn introduction(sandbox: &Sandbox, service: &str, staged: &[Value], outbox: &std::path::Path) -> String {
    let (gitlab, project) = (sandbox.url().trim_end_matches('/'), sandbox.project());
    let matches: Vec<String> = staged.iter().map(row).collect();
    format!(
        "{}\n\nThe inbox:              {service}/ (log in with {TOKEN})\n\
         Drag a card in GitLab:  {gitlab}/{project}/-/boards\n\
         Mails with links:       {}\n\
         Slack and WhatsApp:     {gitlab}/-/chats\n\
         The reviewer's ToDos:   {gitlab}/dashboard/todos\n\
         Webhook deliveries:     {gitlab}/{project}/-/hooks\n\
         The service:            {service}/health\n\
         Its API:                curl -H 'Authorization: Bearer {TOKEN}' {service}/api/v1/matches\n\n\
         Approve a match, by the link in its mail or anywhere else: a sample pipeline writes a draft. Read, edit and send\n\
         it from the inbox; the application is then one more mail in that folder.",
        matches.join("\n"),
        outbox.display()
    )
}

fn row(job: &Value) -> String {
    let text = |name: &str| job[name].as_str().unwrap_or_default();
    let (number, score) = (format!("#{}", job["iid"]), job["score"].to_string());
    format!("  {number:<4} {:<9} {score:>5} %  {}", text("state"), text("title"))
}

/// The reviewer approves one match and rejects another in GitLab; the service follows.
async fn once(client: &Client, sandbox: &Sandbox, service: &str) -> anyhow::Result<()> {
    let wanted = [(1, "approved"), (2, "rejected")];
    for (iid, state) in wanted {
        let url = format!(
            "{}/api/v4/projects/{}/issues/{iid}",
            sandbox.url().trim_end_matches('/'),
            sandbox.project_id()
        );
        let request = client.put(url).header("PRIVATE-TOKEN", sandbox.token("reviewer"));
        request
            .json(&json!({ "add_labels": format!("job-match/{state}") }))
            .send()
            .await?
            .error_for_status()?;
    }
    let follow = async {
        loop {
            let answer = client.get(format!("{service}/api/v1/matches")).bearer_auth(TOKEN).send().await?;
            let answer: Value = answer.error_for_status()?.json().await?;
            let mut matches = answer["matches"].as_array().cloned().unwrap_or_default();
            matches.sort_by_key(|job| job["iid"].as_u64());
            let followed = |(iid, state): &(u64, &str)| {
                matches.iter().any(|job| job["iid"] == *iid && job["state"] == *state)
            };
            if wanted.iter().all(followed) {
                return Ok::<_, anyhow::Error>(matches);
            }
            Clock::System.sleep(Duration::from_millis(20)).await;
        }
    };
    let Ok(matches) = tokio::time::timeout(FOLLOWED_WITHIN, follow).await else {
        bail!("the service did not follow the reviewer within {} s", FOLLOWED_WITHIN.as_secs());
    };
    let rows: Vec<String> = matches?.iter().map(row).collect();
    print(&format!(
        "\nThe reviewer relabelled #1 and #2 in GitLab; the service followed:\n{}",
        rows.join("\n")
    ));
    Ok(())
}
