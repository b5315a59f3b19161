//! What stands in `deploy/`: read as its readers read it, checked by their own tools where those are there, and the
//! program run with nothing around it but what the image holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use vorhoelle::config::reference::VARIABLES;
use vorhoelle::metrics::{Metrics, Part};

#[path = "deploy/empty_root.rs"]
mod empty_root;

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// Runs a tool; none where it is not there.
fn tool(name: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(name).args(arguments).current_dir(top()).stdin(Stdio::null()).output() {
        Ok(output) => Some(output),
        Err(_) => {
            eprintln!("skipped: {name} is not installed");
            None
        }
    }
}

#[track_caller]
fn assert_fine(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// Every word that begins like a variable of ours.
fn variables_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let starts = text.match_indices("VORHOELLE_").filter(|(at, _)| !text[..*at].ends_with(word));
    starts.map(|(at, _)| text[at..].split(|c| !word(c)).next().unwrap().to_owned()).collect()
}

#[test]
fn every_variable_that_is_named_is_one_of_ours() {
    // Not the service's: where compose finds secrets and image.
    let others = ["VORHOELLE_SECRETS", "VORHOELLE_IMAGE"];
    for path in [
        "deploy/Dockerfile",
        "deploy/compose.yaml",
        "deploy/systemd/vorhoelle.service",
        "deploy/cloudrun/service.yaml",
        "deploy/cloudrun/service-scale-to-zero.yaml",
        "deploy/cloudrun/deploy.sh",
        "deploy/gitlab-ci.yml",
    ] {
        for variable in variables_in(&read(path)).iter().filter(|name| !others.contains(&name.as_str())) {
            let name = variable.strip_prefix("VORHOELLE_").unwrap();
            let known = VARIABLES.iter().any(|one| one.name == name);
            let file = VARIABLES.iter().any(|one| one.secret && name.strip_suffix("_FILE") == Some(one.name));
            assert!(known || file, "{path}: {variable}");
        }
    }
}

// --- the image

/// The Dockerfile's instructions with their arguments, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("deploy/Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, rest) = line.split_once(' ').unwrap();
            (name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

#[test]
fn the_image_is_small_and_nobodys_root() {
    let all = instructions();
    let last_stage = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    let image = &all[last_stage..];
    let of = |wanted: &str| -> Vec<&str> {
        image.iter().filter(|(name, _)| name == wanted).map(|(_, rest)| rest.as_str()).collect()
    };
    assert!(of("FROM")[0].contains("distroless"), "no shell, no package manager");
    assert!(of("RUN").is_empty() && of("ADD").is_empty());
    assert_eq!(of("USER"), ["65532:65532"]);
    assert_eq!(of("ENTRYPOINT"), ["[\"/usr/local/bin/vorhoelle\"]"]);
    assert_eq!(of("CMD"), ["[\"serve\"]"]);
    assert!(of("HEALTHCHECK")[0].ends_with("CMD [\"/usr/local/bin/vorhoelle\", \"healthcheck\"]"));
    // A platform that chooses the port sets PORT; VORHOELLE_LISTEN would win over it.
    assert!(of("ENV")[0].contains("PORT=8080") && !of("ENV")[0].contains("VORHOELLE_LISTEN"));
    let rust = format!("rust:{}-", manifest("rust-version"));
    assert!(all.iter().any(|(name, rest)| name == "FROM" && rest.contains(&rust)), "{rust}");
}

fn manifest(key: &str) -> String {
    let text = read("Cargo.toml");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
    line.trim_matches('"').to_owned()
}

/// What the program embeds must be copied, and let through by the ignore file.
#[test]
fn the_image_is_built_from_all_that_it_needs_and_nothing_else() {
    let mut needed: BTreeSet<String> =
        [".cargo", "Cargo.toml", "Cargo.lock", "benches", "src"].map(str::to_owned).into();
    for file in rust_files(&top().join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for mark in ["include_str!(\"", "include_bytes!(\"", "folder = \""] {
            for (at, _) in text.match_indices(mark) {
                let path = text[at + mark.len()..].split('"').next().unwrap();
                let first = path.split('/').find(|part| !matches!(*part, "." | ".." | "$CARGO_MANIFEST_DIR"));
                let first = first.unwrap().to_owned();
                if top().join(&first).exists() {
                    needed.insert(first);
                }
            }
        }
    }
    let copied: BTreeSet<String> = instructions()
        .iter()
        .filter(|(name, rest)| name == "COPY" && !rest.starts_with("--from"))
        .flat_map(|(_, rest)| {
            let mut parts: Vec<String> = rest.split(' ').map(str::to_owned).collect();
            parts.pop();
            parts
        })
        .collect();
    assert_eq!(copied, needed);
    let ignore = read("deploy/Dockerfile.dockerignore");
    let let_through: BTreeSet<String> =
        ignore.lines().filter_map(|line| line.strip_prefix('!')).map(str::to_owned).collect();
    assert_eq!(let_through, needed);
    assert!(ignore.lines().any(|line| line == "*"), "all else stays out");
}

/// The image's first step, as it is run: cargo refuses a manifest that names what is not there.
#[test]
fn cargo_takes_what_the_image_is_built_from() {
    let folder = tempfile::TempDir::new().unwrap();
    for (name, rest) in instructions() {
        let parts: Vec<&str> = rest.split(' ').collect();
        match name.as_str() {
            "COPY" => {
                let (to, from) = parts.split_last().unwrap();
                let mut command = Command::new("cp");
                let done = command.arg("-r").args(from).arg(folder.path().join(to)).current_dir(top());
                assert_fine(&done.output().unwrap());
            }
            "RUN" if rest.contains("cargo build") => {
                let build = "cargo build --release --locked --target \"$(cat /target)\"";
                assert!(rest.contains(build), "{rest}");
                let script =
                    rest.replace(build, "cargo metadata --no-deps --locked --offline --format-version 1");
                let mut command = Command::new("bash");
                let done = command.args(["-euo", "pipefail", "-c", &script]).current_dir(folder.path());
                return assert_fine(&done.output().unwrap());
            }
            _ => {}
        }
    }
    panic!("nothing is built");
}

/// Removing rows for good takes as much room for temporary files as the whole mirror.
#[test]
fn temporary_files_have_as_much_room_as_the_mirror() {
    let image = instructions().into_iter().rfind(|(name, _)| name == "ENV").unwrap().1;
    assert!(image.contains("VORHOELLE_DATABASE=/data/") && image.contains("TMPDIR=/data"), "{image}");
    let service = &yaml(&read("deploy/compose.yaml"))["services"]["vorhoelle"];
    assert_eq!((&service["volumes"], &service["tmpfs"]), (&json!(["mirror:/data"]), &Value::Null));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn the_dockerfile_pleases_its_linter() {
    if let Some(output) = tool("hadolint", &["deploy/Dockerfile"]) {
        assert_fine(&output);
    }
}

// --- compose and continuous integration

#[test]
fn compose_takes_everything_away_that_is_not_needed() {
    let compose = yaml(&read("deploy/compose.yaml"));
    let service = &compose["services"]["vorhoelle"];
    assert_eq!(service["read_only"], true);
    assert_eq!(service["cap_drop"], json!(["ALL"]));
    assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]));
    assert!(service["ports"][0].as_str().unwrap().starts_with("127.0.0.1:"), "TLS stands in front");
    assert_eq!(service["build"]["dockerfile"], "deploy/Dockerfile");
    for (name, value) in service["environment"].as_object().unwrap() {
        let secret = VARIABLES.iter().any(|one| one.secret && name == &format!("VORHOELLE_{}", one.name));
        assert!(!secret, "{name} comes as a file");
        if let Some(file) = value.as_str().unwrap().strip_prefix("/run/secrets/") {
            assert!(service["secrets"].as_array().unwrap().contains(&json!(file)), "{file}");
            assert!(compose["secrets"][file]["file"].is_string(), "{file}");
        }
    }
}

/// What the operators' paper makes is what compose hands in, from where it is, to whom the service runs as.
#[test]
fn the_operators_paper_and_compose_mean_the_same_secrets() {
    let (compose, paper) = (yaml(&read("deploy/compose.yaml")), read("deploy/operating.md"));
    let user = instructions().into_iter().find(|(name, _)| name == "USER").unwrap().1;
    let chown = paper.lines().find(|line| line.contains(&format!("chown {user} "))).unwrap();
    for (name, secret) in compose["secrets"].as_object().unwrap() {
        assert_eq!(secret["file"], json!(format!("${{VORHOELLE_SECRETS:-./secrets}}/{name}")));
        assert!(
            paper.contains(&format!("secrets/{name}")) && chown.contains(&format!("secrets/{name}")),
            "{name}"
        );
    }
    assert!(paper.contains("VORHOELLE_SECRETS=$PWD/secrets docker compose -f deploy/compose.yaml"));
}

/// The unit does not start without its file of settings.
#[test]
fn the_operators_paper_writes_the_units_settings_before_it_starts_it() {
    let paper = read("deploy/operating.md");
    let unit = read("deploy/systemd/vorhoelle.service");
    let file = unit.lines().find_map(|line| line.strip_prefix("EnvironmentFile=")).unwrap();
    let written = paper.find(&format!("> {file} <<")).unwrap();
    assert!(written < paper.find("systemctl enable --now vorhoelle").unwrap());
    let used = paper.find("VORHOELLE_SETUP_TOKEN_FILE=secrets/maintainer-token").unwrap();
    assert!(paper.find("into `secrets/maintainer-token`").unwrap() < used, "it is made before it is used");
}

#[test]
fn the_pipeline_tests_builds_and_deploys() {
    let ci = yaml(&read("deploy/gitlab-ci.yml"));
    // Words that GitLab keeps for itself: a job of such a name is none.
    let reserved =
        ["image", "services", "stages", "before_script", "after_script", "variables", "cache", "include"];
    let settings = ["stages", "workflow", "default"];
    let jobs: BTreeMap<&String, &Value> =
        ci.as_object().unwrap().iter().filter(|(name, _)| !settings.contains(&name.as_str())).collect();
    let stages = ci["stages"].as_array().unwrap();
    for (name, job) in &jobs {
        assert!(!reserved.contains(&name.as_str()), "{name}");
        assert!(stages.contains(&job["stage"]), "{name}");
        assert!(job["script"].is_array(), "{name}");
        for part in ["before_script", "script"] {
            for line in job[part].as_array().into_iter().flatten() {
                assert!(line.is_string(), "{name}: a colon made this no text: {line}");
                let line = line.as_str().unwrap();
                let checked = Command::new("sh").args(["-n", "-c", line]).output().unwrap();
                assert_fine(&checked);
                for word in line.split_whitespace().filter(|word| word.starts_with("deploy/")) {
                    assert!(top().join(word).exists(), "{word}");
                }
            }
        }
    }
    assert_eq!(jobs.len(), stages.len());
    assert_eq!(ci["test"]["script"], json!(["tests/run"]));
}

// --- systemd

#[test]
fn the_unit_is_right_and_its_sandbox_tight() {
    let text = read("deploy/systemd/vorhoelle.service");
    for line in ["DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet="] {
        assert!(text.lines().any(|one| one == line), "{line}");
    }
    let loaded: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("LoadCredential=")?.split(':').next()).collect();
    for line in text.lines().filter_map(|line| line.strip_prefix("Environment=")) {
        if let Some((name, credential)) = line.split_once("=%d/") {
            assert!(name.ends_with("_FILE") && loaded.contains(credential), "{line}");
        }
    }
    // systemd wants the program where the unit says it is.
    let folder = tempfile::TempDir::new().unwrap();
    let unit = folder.path().join("vorhoelle.service");
    std::fs::write(&unit, text.replace("/usr/local/bin/vorhoelle", env!("CARGO_BIN_EXE_vorhoelle"))).unwrap();
    let unit = unit.to_str().unwrap();
    if let Some(output) = tool("systemd-analyze", &["verify", "--man=no", unit]) {
        assert_fine(&output);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("vorhoelle.service"), "{said}");
    }
    if let Some(output) =
        tool("systemd-analyze", &["security", "--offline=true", "--no-pager", "--threshold=15", unit])
    {
        assert_fine(&output);
    }
}

// --- Prometheus

#[test]
fn alerts_ask_for_figures_that_exist() {
    let alerts = yaml(&read("deploy/prometheus/alerts.yml"));
    let metrics = Metrics::default();
    metrics.answered(&http::Method::GET, "/livez", 200, std::time::Duration::ZERO);
    metrics.called_gitlab("GET", Some(200), std::time::Duration::ZERO);
    metrics.gitlab_said(Some(2000), Some(0));
    metrics.set_channel("email", true, 0);
    for part in [
        Part::Backlog,
        Part::GitlabUp,
        Part::LastRead,
        Part::LastEvent,
        Part::Ignored,
        Part::SendUnknown,
        Part::EventsGivenUp,
    ] {
        metrics.set(part, 0);
    }
    let told = metrics.encode();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        assert!(rule["annotations"]["summary"].is_string() && rule["annotations"]["description"].is_string());
        assert!(rule["labels"]["severity"].is_string(), "{name}");
        let expr = rule["expr"].as_str().unwrap();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for (at, _) in expr.match_indices("vorhoelle_") {
            let figure = expr[at..].split(|c| !word(c)).next().unwrap();
            assert!(told.lines().any(|line| line.split(['{', ' ']).next() == Some(figure)), "{figure}");
        }
        for (at, mark) in expr.match_indices("part=\"") {
            let part = expr[at + mark.len()..].split('"').next().unwrap();
            assert!(told.contains(&format!("part=\"{part}\"")), "{part}");
        }
        assert!(
            read("deploy/operating.md").contains(name),
            "the operators' paper says what to do about {name}"
        );
    }
}

#[test]
fn promtool_finds_the_alerts_right() {
    for arguments in [
        ["check", "rules", "deploy/prometheus/alerts.yml"],
        ["test", "rules", "deploy/prometheus/alerts.test.yml"],
    ] {
        if let Some(output) = tool("promtool", &arguments) {
            assert_fine(&output);
        }
    }
}

// --- Cloud Run

fn deploy(arguments: &[&str]) -> (i32, String) {
    let output = Command::new("bash")
        .arg("deploy/cloudrun/deploy.sh")
        .args(arguments)
        .current_dir(top())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn the_dry_run_shows_the_whole_way_to_cloud_run() {
    let usual = ["--project", "p1", "--gitlab-project", "4711", "--reviewers", "anna,ben", "--dry-run"];
    for sleeps in [false, true] {
        let arguments = [&usual[..], if sleeps { &["--scale-to-zero"] } else { &[] }].concat();
        let (code, said) = deploy(&arguments);
        assert_eq!(code, 0, "{said}");
        let service: String =
            said.lines().filter_map(|line| line.strip_prefix("| ")).map(|line| format!("{line}\n")).collect();
        assert!(!service.lines().any(|line| !line.starts_with('#') && line.contains("${")), "{service}");
        let service = yaml(&service);
        let template = &service["spec"]["template"];
        let scale = |name: &str| {
            template["metadata"]["annotations"][format!("autoscaling.knative.dev/{name}")].clone()
        };
        let throttled = &template["metadata"]["annotations"]["run.googleapis.com/cpu-throttling"];
        assert_eq!(scale("maxScale"), "1");
        assert_eq!(scale("minScale"), if sleeps { "0" } else { "1" });
        assert_eq!(throttled, if sleeps { "true" } else { "false" });
        let container = &template["spec"]["containers"][0];
        let set: BTreeMap<&str, &Value> = container["env"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["name"].as_str().unwrap(), one))
            .collect();
        assert_eq!(set["VORHOELLE_GITLAB_PROJECT"]["value"], "4711", "a text, not a number");
        assert_eq!(set["VORHOELLE_REVIEWERS"]["value"], "anna,ben");
        assert_eq!(set["VORHOELLE_IDLE"]["value"], if sleeps { "request" } else { "loops" });
        for (name, one) in &set {
            let secret =
                VARIABLES.iter().any(|known| known.secret && *name == format!("VORHOELLE_{}", known.name));
            assert_eq!(secret, one["valueFrom"]["secretKeyRef"]["name"].is_string(), "{name}");
        }
        assert!(said.contains("docker buildx build --file deploy/Dockerfile"));
        assert!(
            said.contains("/api/v1/tick") == sleeps && said.contains("scheduler jobs create http") == sleeps
        );
    }
}

#[test]
fn more_variables_and_secrets_get_into_the_service_and_its_account_may_read_them() {
    let more = [
        "--secret",
        "vorhoelle-smtp-url=VORHOELLE_SMTP_URL",
        "--env",
        "VORHOELLE_MAIL_FROM=Anna <jobs@example.com>",
    ];
    let usual = ["--project", "p1", "--gitlab-project", "4711", "--reviewers", "anna", "--dry-run"];
    let (code, said) = deploy(&[&usual[..], &more].concat());
    assert_eq!(code, 0, "{said}");
    let service: String =
        said.lines().filter_map(|line| line.strip_prefix("| ")).map(|line| format!("{line}\n")).collect();
    let service = yaml(&service);
    let set = service["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let of = |name: &str| set.iter().find(|one| one["name"] == name).unwrap();
    let secret = &of("VORHOELLE_SMTP_URL")["valueFrom"]["secretKeyRef"];
    assert_eq!(secret, &json!({ "name": "vorhoelle-smtp-url", "key": "latest" }));
    assert_eq!(of("VORHOELLE_MAIL_FROM")["value"], "Anna <jobs@example.com>");
    assert_eq!(of("VORHOELLE_GITLAB_PROJECT")["value"], "4711");
    assert!(said.contains("secrets add-iam-policy-binding vorhoelle-smtp-url"), "{said}");
    for wrong in [["--secret", "no-variable"], ["--env", "PATH=/tmp"], ["--env", "VORHOELLE_LOG=a\"b"]] {
        let (code, said) = deploy(&[&usual[..], &wrong].concat());
        assert!(code == 2 && said.contains("this is no "), "{said}");
    }
}

#[test]
fn the_script_refuses_what_it_cannot_use() {
    let (code, said) = deploy(&["--project", "p1"]);
    assert!(code == 2 && said.contains("usage:"), "{said}");
    let (code, said) =
        deploy(&["--project", "p1", "--gitlab-project", "me/jobs", "--reviewers", "anna|evil", "--dry-run"]);
    assert!(code == 2 && said.contains("no name or address"), "{said}");
    if let Some(output) = tool("shellcheck", &["deploy/cloudrun/deploy.sh", "tests/run"]) {
        assert_fine(&output);
    }
}
