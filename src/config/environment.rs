//! The environment: what it sets, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use reqwest::Url;

use super::reference::{VARIABLES, Variable, variable};
use super::secrets::{without_password, without_password_if_mistyped};
use super::{File, GitlabSettings, Idle, Layers, Origin, Policy, Setting, Settings, SettingsError, nearest};

/// The variables of the process, or of a test.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// The names of those that the command line has set.
    by_command_line: BTreeSet<String>,
    /// The names of those whose values are no UTF-8.
    unreadable: BTreeSet<String>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// The variables of the process.
    pub fn of_the_process() -> Self {
        let mut unreadable = BTreeSet::new();
        let readable = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            match value.into_string() {
                Ok(value) => Some((name, value)),
                Err(_) => {
                    unreadable.extend(is_ours(&name).then_some(name));
                    None
                }
            }
        });
        let variables: Vec<_> = readable.collect();
        Self { unreadable, ..Self::of(variables) }
    }

    /// These variables.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter().filter(|(name, _)| is_ours(name)).collect();
        Self { variables, ..Self::default() }
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(format!("VORHOELLE_{name}"), value.into());
    }

    /// Sets a variable by an option of the command line.
    pub fn set_by_option(&mut self, name: &str, value: impl Into<String>) {
        self.by_command_line.insert(name.to_owned());
        self.set(name, value);
    }

    /// The value of a variable without its prefix; empty counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(&format!("VORHOELLE_{name}"))?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// Where a service of this environment listens.
    ///
    /// # Errors
    ///
    /// Where that is no address with a port.
    pub fn address(&self) -> Result<SocketAddr, SettingsError> {
        let mut errors = Vec::new();
        self.listen(&mut errors).ok_or(SettingsError(errors))
    }

    /// Names every variable that is none of ours, or cannot be read.
    pub(super) fn unknown(&self) -> Vec<String> {
        let ours = self.variables.iter().filter(|(name, value)| !is_of_kubernetes(name, value));
        let names = ours.filter_map(|(name, _)| name.strip_prefix("VORHOELLE_"));
        let unknown = names.filter(|name| {
            let secret_file = name.strip_suffix("_FILE").and_then(variable).is_some_and(|named| named.secret);
            variable(name).is_none() && !secret_file
        });
        let known: Vec<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
        let unknown = unknown.map(|name| match nearest(name, &known) {
            Some(near) => format!("VORHOELLE_{name} is no setting; did you mean VORHOELLE_{near}?"),
            None => format!("VORHOELLE_{name} is no setting; `vorhoelle serve --help` lists them"),
        });
        let unreadable = self.unreadable.iter().map(|name| format!("{name}: its value is no UTF-8"));
        unknown.chain(unreadable).collect()
    }

    /// Everything that was set, or errors and none. Every part is read, so that all that is wrong is said at once.
    pub(super) fn settings(&self, layers: Layers, errors: &mut Vec<String>) -> Option<Settings> {
        let former_users = self.former_users(errors);
        let gitlab = self.gitlab(former_users.clone(), errors);
        let templates = self.templates(errors);
        let webhook = self.webhook(errors);
        let policy = policy(&layers, &former_users, errors);
        let channels = self.channels(errors);
        let events = self.events(errors);
        let idle = self.idle(errors);
        let api_tokens = self.api_tokens(errors);
        let listen = self.listen(errors);
        let public_url = self.public_url(errors);
        let links = self.links(public_url.as_ref(), errors);
        Some(Settings {
            gitlab: gitlab?,
            webhook: webhook?,
            api_tokens,
            listen: listen?,
            public_url,
            links,
            database: PathBuf::from(self.get("DATABASE").unwrap_or("data/mirror.sqlite")),
            idle,
            templates,
            channels,
            events,
            layers,
            policy: policy?,
            variables: self.explain(),
        })
    }

    fn gitlab(&self, former_users: BTreeSet<u64>, errors: &mut Vec<String>) -> Option<GitlabSettings> {
        let before = errors.len();
        let token = self.secret("GITLAB_TOKEN", errors);
        // What is wrong with one has been said.
        if token.is_none() && errors.len() == before {
            errors.push("VORHOELLE_GITLAB_TOKEN is missing: an access token with scope api".to_owned());
        }
        let project = self.get("GITLAB_PROJECT").map(str::to_owned);
        if project.is_none() {
            errors.push(
                "VORHOELLE_GITLAB_PROJECT is missing: the project's number or group/project".to_owned(),
            );
        }
        let url = self.url("GITLAB_URL", errors).or_else(|| Url::parse("https://gitlab.com/").ok());
        if url.as_ref().is_some_and(names_a_user) {
            // It is shown, logged and kept in the mirror.
            errors.push(
                "VORHOELLE_GITLAB_URL: must hold no user and no password; the token goes into VORHOELLE_GITLAB_TOKEN"
                    .to_owned(),
            );
        }
        if url.as_ref().is_some_and(leads_to_the_api) {
            errors.push(
                "VORHOELLE_GITLAB_URL: leave out /api/v4; it is the address at which people see GitLab"
                    .to_owned(),
            );
        }
        let extra_ca = self.extra_ca(errors);
        let setup_token = self.secret("SETUP_TOKEN", errors);
        Some(GitlabSettings {
            url: url?,
            token: token?,
            setup_token,
            project: project?,
            extra_ca,
            former_users,
        })
    }

    fn extra_ca(&self, errors: &mut Vec<String>) -> Option<Vec<u8>> {
        let path = self.get("GITLAB_CA_FILE")?;
        let read = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"));
        let pem = read.and_then(|pem| {
            let is_one = reqwest::Certificate::from_pem_bundle(&pem).is_ok_and(|all| !all.is_empty());
            is_one.then_some(pem).ok_or_else(|| format!("{path} holds no certificate in PEM"))
        });
        pem.map_err(|error| errors.push(format!("VORHOELLE_GITLAB_CA_FILE: {error}"))).ok()
    }

    fn templates(&self, errors: &mut Vec<String>) -> Option<PathBuf> {
        let folder = PathBuf::from(self.get("TEMPLATES")?);
        if let Err(error) = std::fs::read_dir(&folder) {
            errors.push(format!("VORHOELLE_TEMPLATES: cannot read the folder {}: {error}", folder.display()));
        }
        Some(folder)
    }

    fn public_url(&self, errors: &mut Vec<String>) -> Option<Url> {
        let url = self.url("PUBLIC_URL", errors)?;
        if url.query().is_some() || url.fragment().is_some() {
            errors.push("VORHOELLE_PUBLIC_URL: must end with the path, without ? and #".to_owned());
        }
        if names_a_user(&url) {
            errors.push(
                "VORHOELLE_PUBLIC_URL: must hold no user and no password; it stands in every message's links"
                    .to_owned(),
            );
        }
        Some(url)
    }

    /// What the environment says of keys that the settings file has too.
    pub(super) fn layer(&self, errors: &mut Vec<String>) -> File {
        File {
            // What is no number is refused with the other scores.
            min_score: self
                .get("MIN_SCORE")
                .map(|text| text.parse().ok().filter(|n: &f64| n.is_finite()).unwrap_or(-1.0)),
            reviewers: self.get("REVIEWERS").map(list),
            enforce_reviewers: self.boolean("ENFORCE_REVIEWERS", errors),
            sync_interval: self.get("SYNC_INTERVAL").map(str::to_owned),
            ..File::default()
        }
    }

    /// What every variable says or, where it is not set, what holds then; secrets as `***`.
    fn explain(&self) -> Vec<Setting> {
        let port = self.variables.get("PORT").map(|port| port.trim()).filter(|port| !port.is_empty());
        let known = VARIABLES.iter().filter_map(|Variable { name, secret, default, .. }| {
            let file = format!("{name}_FILE");
            let (value, origin) = match (*secret, self.get(name), self.get(&file)) {
                (true, None, Some(path)) => (format!("*** (from {path})"), Origin::Variable),
                (true, Some(_), _) => ("***".to_owned(), Origin::Variable),
                (_, Some(value), _) => (without_password(value), self.origin(name)),
                (_, None, _) if *name == "LISTEN" && port.is_some() => {
                    (format!("0.0.0.0:{}", port.unwrap_or_default()), Origin::Environment("PORT"))
                }
                // Keys of the settings file are shown with the others.
                (_, None, _)
                    if default.is_empty() || super::layers::variable_of(&name.to_lowercase()).is_some() =>
                {
                    return None;
                }
                (_, None, _) => ((*default).to_owned(), Origin::Default),
            };
            Some(Setting { key: format!("VORHOELLE_{name}"), value: value.into(), origin })
        });
        known.collect()
    }

    fn origin(&self, name: &str) -> Origin {
        if self.by_command_line.contains(name) { Origin::CommandLine } else { Origin::Variable }
    }

    fn listen(&self, errors: &mut Vec<String>) -> Option<SocketAddr> {
        let port = self.variables.get("PORT").map(|port| port.trim()).filter(|port| !port.is_empty());
        let (parsed, error) = match (self.get("LISTEN"), port) {
            (None, Some(port)) => {
                (format!("0.0.0.0:{port}").parse(), format!("PORT: must be a number up to 65535, not {port}"))
            }
            (listen, _) => {
                let listen = listen.unwrap_or("127.0.0.1:8080");
                let error = format!(
                    "VORHOELLE_LISTEN: must be an address and a port such as 127.0.0.1:8080, not {listen}"
                );
                (listen.parse(), error)
            }
        };
        parsed.map_err(|_| errors.push(error)).ok()
    }

    fn former_users(&self, errors: &mut Vec<String>) -> BTreeSet<u64> {
        let ids = list(self.get("FORMER_USERS").unwrap_or_default());
        let read = |id: &String| {
            id.parse().map_err(|_| {
                format!("VORHOELLE_FORMER_USERS: must be user numbers with commas between, not {id}")
            })
        };
        ids.iter().filter_map(|id| read(id).map_err(|error| errors.push(error)).ok()).collect()
    }

    fn idle(&self, errors: &mut Vec<String>) -> Idle {
        match self.get("IDLE") {
            None | Some("loops") => Idle::Loops,
            Some("request") => Idle::Request,
            Some(other) => {
                errors.push(format!("VORHOELLE_IDLE: must be loops or request, not {other}"));
                Idle::Loops
            }
        }
    }

    pub(super) fn url(&self, name: &str, errors: &mut Vec<String>) -> Option<Url> {
        let text = self.get(name)?;
        let url =
            Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            let shown = without_password_if_mistyped(text);
            errors.push(format!("VORHOELLE_{name}: must be an http:// or https:// address, not {shown}"));
        }
        url
    }

    fn boolean(&self, name: &str, errors: &mut Vec<String>) -> Option<bool> {
        match self.get(name)? {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                errors.push(format!("VORHOELLE_{name}: must be true or false, not {other}"));
                None
            }
        }
    }
}

/// What holds by the layers; what is wrong in the file is said too where another layer hides it.
fn policy(layers: &Layers, former_users: &BTreeSet<u64>, errors: &mut Vec<String>) -> Option<Policy> {
    let hidden = layers.wrong_in_file();
    let policy = layers.policy(None, former_users).map_err(|wrong| {
        let said = wrong.iter().map(|one| format!("{}: {}", layers.place(&one.key, None), one.message));
        errors.extend(said.filter(|error| !hidden.contains(error)));
    });
    errors.extend(hidden);
    policy.ok()
}

/// Whether an address holds a user or a password.
fn names_a_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether an address of GitLab is that of its API, as other programs want it.
fn leads_to_the_api(url: &Url) -> bool {
    url.path().trim_end_matches('/').to_ascii_lowercase().ends_with("/api/v4")
}

/// Whether Kubernetes set it for a Service whose name begins as ours do: `…_SERVICE_HOST`, `…_SERVICE_PORT_HTTP`,
/// `…_PORT=tcp://10.0.0.7:8080`, `…_PORT_8080_TCP_ADDR` (its page "Service", under "Environment variables").
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let of_a_port = ["TCP", "UDP", "SCTP"].iter().any(|protocol| {
        let is_address =
            value.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(protocol));
        is_address || name.split('_').any(|part| part == *protocol)
    });
    name.ends_with("SERVICE_HOST") || name.contains("SERVICE_PORT") || of_a_port
}

/// Whether a variable of the process is for us.
fn is_ours(name: &str) -> bool {
    name.starts_with("VORHOELLE_") || name == "PORT"
}

/// The parts between commas.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
