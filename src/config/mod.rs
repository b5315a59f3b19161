//! Settings: built-in defaults, the YAML file, the environment, the command line; the last one wins.
//!
//! Secrets come from the environment only, or from files that it names.

mod channels;
mod edit;
mod environment;
mod events;
mod file;
mod layers;
mod links;
mod policy;
pub mod reference;
mod secrets;
mod time_zone;
mod whatsapp;
mod yaml_position;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

pub use channels::{
    ChannelSettings, GmailSettings, GoogleAppSettings, MailSettings, Mailer, SmtpSecurity, SmtpSettings,
};
pub use edit::edit;
pub use environment::Environment;
pub use events::EventSettings;
pub use file::{File, FileError, must_be};
pub use layers::{CHANGEABLE, IssueLayer, Layers, Origin, Setting, leaves};
pub use links::LinkSettings;
pub use policy::{ChannelPolicy, Policy, WrongSetting};
pub use whatsapp::WhatsAppSettings;

use crate::gitlab::webhook::WebhookSecrets;

/// Where the settings file is looked for unless it is said.
pub const DEFAULT_FILE: &str = "config/notification-channels.yml";

/// Everything that was set, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The GitLab and its project.
    pub gitlab: GitlabSettings,
    /// What deliveries have to prove.
    pub webhook: WebhookSecrets,
    /// Who may use the API.
    pub api_tokens: Vec<ApiToken>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where GitLab and people reach the service.
    pub public_url: Option<Url>,
    /// Links in messages that ask for a decision.
    pub links: Option<LinkSettings>,
    /// The mirror's file.
    pub database: PathBuf,
    /// Whether work is done in background loops or inside requests.
    pub idle: Idle,
    /// A folder that overrides templates.
    pub templates: Option<PathBuf>,
    /// The channels whose variables are set.
    pub channels: ChannelSettings,
    /// Where signed events go.
    pub events: Option<EventSettings>,
    /// What people have set about matches and messages, layer by layer.
    pub layers: Layers,
    /// What that amounts to while the settings issue says nothing.
    pub policy: Policy,
    /// The variables that are set, secrets as `***`.
    pub variables: Vec<Setting>,
}

/// How to reach GitLab.
#[derive(Clone, Debug)]
pub struct GitlabSettings {
    /// The instance.
    pub url: Url,
    /// The token of everyday work.
    pub token: SecretString,
    /// A Maintainer's token, for `setup` and for reviving a webhook.
    pub setup_token: Option<SecretString>,
    /// The project's number or path.
    pub project: String,
    /// PEM trust anchors beside the system's.
    pub extra_ca: Option<Vec<u8>>,
    /// Earlier users of the service.
    pub former_users: BTreeSet<u64>,
}

/// A token of the API, and the name that it decides under.
#[derive(Clone, Debug)]
pub struct ApiToken {
    /// What history shows.
    pub name: String,
    /// The token.
    pub token: SecretString,
}

/// When work is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// In background loops.
    #[default]
    Loops,
    /// Inside requests: for platforms that stop the clock between them.
    Request,
}

/// Settings that cannot be used: everything that is wrong with them.
#[derive(Debug)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Reads the settings of a service against a real GitLab.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once: key, file and line where there is one, what is allowed.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, SettingsError> {
        let mut errors = environment.unknown();
        let named = file.map(Path::to_owned).or_else(|| environment.get("CONFIG").map(PathBuf::from));
        let (path, text, file) = File::read(named.as_deref()).unwrap_or_else(|error| {
            errors.push(error);
            Default::default()
        });
        let layers = Layers::new(path, text, file, environment.layer(&mut errors));
        let settings = environment.settings(layers, &mut errors);
        match settings.filter(|_| errors.is_empty()) {
            Some(settings) => Ok(settings),
            None => Err(SettingsError(errors)),
        }
    }

    /// The same with the Maintainer's token in the place of the everyday one, where there is one.
    #[must_use]
    pub fn with_setup_token(&self) -> Self {
        let mut settings = self.clone();
        if let Some(token) = &self.gitlab.setup_token {
            settings.gitlab.token = token.clone();
        }
        settings
    }
}

/// A duration such as `6s`, `5m`, `2h`, `3d`.
///
/// # Errors
///
/// Where it is something else.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write a number and a unit, such as 6s, 5m, 2h or 3d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len_utf8()].trim().parse().map_err(|_| wrong())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// The known word that is nearest to a mistyped one, if any is near.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|candidate| (distance(word, candidate), *candidate));
    // Of a short word three letters are most.
    let near = (word.chars().count() / 3).clamp(1, 3);
    distances.min().filter(|(distance, _)| *distance <= near).map(|(_, candidate)| candidate)
}

/// How many letters have to be changed, put in or taken out.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let base = [
            ("VORHOELLE_GITLAB_TOKEN", "token-of-the-bot"),
            ("VORHOELLE_GITLAB_PROJECT", "acme/jobs"),
            ("VORHOELLE_WEBHOOK_SECRET", "a-long-enough-secret"),
        ];
        let all = base.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::load(None, &Environment::of(all))
    }

    fn errors(variables: &[(&str, &str)]) -> String {
        load(variables).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.gitlab.url.as_str(), "https://gitlab.com/");
        assert_eq!(settings.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(settings.database, Path::new("data/mirror.sqlite"));
        assert_eq!(
            (settings.policy.min_score, settings.policy.sync_interval),
            (70.0, Duration::from_secs(300))
        );
        let written = |name: &str| reference::variable(name).unwrap().default;
        assert_eq!(settings.gitlab.url, Url::parse(written("GITLAB_URL")).unwrap());
        assert_eq!(settings.listen.to_string(), written("LISTEN"));
        assert_eq!(settings.database, Path::new(written("DATABASE")));
        assert_eq!(settings.policy.min_score.to_string(), written("MIN_SCORE"));
        assert_eq!(Ok(settings.policy.sync_interval), duration(written("SYNC_INTERVAL")));
        assert_eq!(DEFAULT_FILE, written("CONFIG"));
        assert_eq!(load(&[("PORT", "9000")]).unwrap().listen, "0.0.0.0:9000".parse().unwrap());
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let found = errors(&[
            ("VORHOELLE_GITLAB_TOKEN", "changeme"),
            ("VORHOELLE_WEBHOOK_SECRET", ""),
            ("VORHOELLE_LISTN", "127.0.0.1:1"),
            ("VORHOELLE_MIN_SCORE", "0.7"),
            ("VORHOELLE_SYNC_INTERVAL", "5 minutes"),
            ("VORHOELLE_ENFORCE_REVIEWERS", "yes"),
            ("VORHOELLE_API_TOKENS", "pipeline"),
        ]);
        for part in [
            "VORHOELLE_LISTN is no setting; did you mean VORHOELLE_LISTEN?",
            "VORHOELLE_GITLAB_TOKEN is a placeholder",
            "VORHOELLE_WEBHOOK_SECRET or VORHOELLE_WEBHOOK_SIGNING_TOKEN",
            "VORHOELLE_MIN_SCORE",
            "VORHOELLE_SYNC_INTERVAL: `5 minutes` is no duration",
            "VORHOELLE_ENFORCE_REVIEWERS: must be true or false",
            "VORHOELLE_API_TOKENS: must be name:token pairs",
        ] {
            assert!(found.contains(part), "{part} in:\n{found}");
        }
    }

    /// As for a Service of our name, and for one that begins so.
    #[test]
    fn what_kubernetes_sets_for_a_service_of_our_name_is_no_setting_and_no_error() {
        let address = "tcp://10.0.0.7:8080";
        let all = ["VORHOELLE", "VORHOELLE_PAGE"].into_iter().flat_map(|service| {
            [
                (format!("{service}_SERVICE_HOST"), "10.0.0.7"),
                (format!("{service}_SERVICE_PORT"), "8080"),
                (format!("{service}_SERVICE_PORT_HTTP"), "8080"),
                (format!("{service}_PORT"), address),
                (format!("{service}_PORT_8080_TCP"), address),
                (format!("{service}_PORT_8080_TCP_PROTO"), "tcp"),
                (format!("{service}_PORT_8080_TCP_PORT"), "8080"),
                (format!("{service}_PORT_8080_TCP_ADDR"), "10.0.0.7"),
            ]
        });
        let all: Vec<(String, &str)> = all.collect();
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(load(&all).unwrap().listen, "127.0.0.1:8080".parse().unwrap());
        assert!(errors(&[("VORHOELLE_PORT", "9000")]).contains("VORHOELLE_PORT is no setting"));
    }

    #[test]
    fn what_is_named_and_cannot_be_used_is_an_error_of_the_settings() {
        let folder = tempfile::tempdir().unwrap();
        let (garbage, nowhere) = (folder.path().join("ca.pem"), folder.path().join("nowhere"));
        let pem = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        std::fs::write(&garbage, pem).unwrap();
        let said = errors(&[
            ("VORHOELLE_GITLAB_CA_FILE", garbage.to_str().unwrap()),
            ("VORHOELLE_TEMPLATES", nowhere.to_str().unwrap()),
        ]);
        for part in ["ca.pem holds no certificate in PEM", "VORHOELLE_TEMPLATES: cannot read the folder "] {
            assert!(said.contains(part), "{part} in:\n{said}");
        }
    }

    #[test]
    fn a_secret_may_stand_in_a_file_and_is_never_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret-from-a-file\n").unwrap();
        let path = file.path().to_str().unwrap();
        let settings =
            load(&[("VORHOELLE_GITLAB_TOKEN", ""), ("VORHOELLE_GITLAB_TOKEN_FILE", path)]).unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&settings.gitlab.token), "secret-from-a-file");
        let printed = format!("{settings:?}");
        assert!(!printed.contains("secret-from-a-file") && !printed.contains("long-enough"), "{printed}");
        let missing =
            errors(&[("VORHOELLE_GITLAB_TOKEN", ""), ("VORHOELLE_GITLAB_TOKEN_FILE", "/nowhere/x")]);
        assert!(missing.contains("VORHOELLE_GITLAB_TOKEN_FILE: cannot read /nowhere/x"), "{missing}");
    }

    #[test]
    fn a_file_of_a_secret_may_begin_with_a_byte_order_mark_and_is_named_where_it_is_wrong() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let variables = [("VORHOELLE_API_TOKENS_FILE", path)];
        std::fs::write(file.path(), "\u{feff}pipeline:a-token\r\npage:another\r\n").unwrap();
        let tokens = load(&variables).unwrap().api_tokens;
        assert_eq!((tokens[0].name.as_str(), tokens[1].name.as_str()), ("pipeline", "page"));
        let variables = [("VORHOELLE_GITLAB_TOKEN", ""), ("VORHOELLE_GITLAB_TOKEN_FILE", path)];
        for wrong in ["", "\u{feff}", "one\ntwo\n", "changeme"] {
            std::fs::write(file.path(), wrong).unwrap();
            let said = errors(&variables);
            assert!(said.starts_with(&format!("VORHOELLE_GITLAB_TOKEN_FILE: {path} is ")), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }

    #[test]
    fn a_mistyped_address_shows_no_password() {
        for name in ["VORHOELLE_GITLAB_URL", "VORHOELLE_PUBLIC_URL", "VORHOELLE_EVENTS_URL"] {
            for address in [
                "htps://user:geheim@h/x",
                "user:geheim@h/x",
                "http//user:geheim@h/x",
                "https://user:ge@heim@h:x",
            ] {
                let said = errors(&[(name, address)]);
                assert!(said.contains(&format!("{name}: must be")) && said.contains("@h"), "{said}");
                assert!(!said.contains("geheim") && !said.contains("heim@"), "{said}");
            }
        }
        assert!(errors(&[("VORHOELLE_GITLAB_URL", "gitlab.com")]).contains("not gitlab.com"));
    }

    #[test]
    fn the_address_of_gitlab_holds_no_password() {
        for address in ["https://proxy:geheim@gitlab.example", "https://glpat-geheim@gitlab.example/git/"] {
            let said = errors(&[("VORHOELLE_GITLAB_URL", address)]);
            assert!(said.contains("VORHOELLE_GITLAB_URL: must hold no user and no password"), "{said}");
            assert!(!said.contains("geheim"), "{said}");
        }
    }

    #[test]
    fn the_address_of_gitlab_is_not_that_of_its_api() {
        for address in [
            "https://gitlab.example/api/v4",
            "https://gitlab.example/git/api/v4/",
            "https://gitlab.example/API/v4//",
        ] {
            let said = errors(&[("VORHOELLE_GITLAB_URL", address)]);
            assert!(said.contains("VORHOELLE_GITLAB_URL: leave out /api/v4"), "{address}: {said}");
        }
        for address in ["https://gitlab.example/git/", "https://gitlab.example/my-api/v4"] {
            assert!(load(&[("VORHOELLE_GITLAB_URL", address)]).is_ok(), "{address}");
        }
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_not_called_missing_too() {
        for (wrong, others) in [
            (
                "VORHOELLE_TWILIO_AUTH_TOKEN",
                &[
                    ("VORHOELLE_TWILIO_ACCOUNT_SID", "AC0123"),
                    ("VORHOELLE_TWILIO_FROM", "+43155501234"),
                    ("VORHOELLE_TWILIO_TO", "+43155501235"),
                ][..],
            ),
            (
                "VORHOELLE_GMAIL_CLIENT_SECRET",
                &[
                    ("VORHOELLE_GMAIL_REFRESH_TOKEN", "a-token"),
                    ("VORHOELLE_GMAIL_CLIENT_ID", "an-id"),
                    ("VORHOELLE_MAIL_FROM", "a@example.com"),
                    ("VORHOELLE_MAIL_TO", "b@example.com"),
                ],
            ),
        ] {
            let all = |secret| [&[(wrong, secret)][..], others].concat();
            let said = errors(&all("ge heim"));
            assert_eq!(said, format!("{wrong} is empty or holds blanks"));
            assert!(errors(&all("")).starts_with(&format!("{wrong} is missing")));
        }
    }

    #[test]
    fn the_address_that_messages_link_to_holds_no_password() {
        for address in ["https://proxy:geheim@jobs.example", "https://geheim@jobs.example/inbox"] {
            let said = errors(&[("VORHOELLE_PUBLIC_URL", address)]);
            assert!(said.contains("VORHOELLE_PUBLIC_URL: must hold no user and no password"), "{said}");
            assert!(!said.contains("geheim"), "{said}");
        }
    }

    #[test]
    fn a_token_that_no_header_carries_is_refused() {
        let said =
            errors(&[("VORHOELLE_API_TOKENS", "pipeline:a-token,page:geheimnis-für-anna,tab:a\u{7}b")]);
        for name in ["page", "tab"] {
            let part = format!("VORHOELLE_API_TOKENS: the token of {name} holds other characters than");
            assert!(said.contains(&part), "{said}");
        }
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(!said.contains("geheim"), "{said}");
    }

    #[test]
    fn the_shipped_file_is_right_and_a_wrong_one_says_where() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFAULT_FILE);
        assert!(File::read(Some(&shipped)).is_ok());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "min_score: 80\nlanguge: en\n").unwrap();
        let error = File::read(Some(file.path())).unwrap_err();
        assert!(error.contains(":2:") && error.contains("languge"), "{error}");
        assert!(File::read(Some(Path::new("/nowhere/x.yml"))).is_err());
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line_though_a_variable_hides_it_and_once_where_none_does() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let yaml = "min_score: 101\nreviewers: [\"@anna\"]\nbatch: {mode: digest}\nquiet_hours:\n  from: \"22:00\"\n";
        std::fs::write(file.path(), yaml).unwrap();
        let path = file.path().to_str().unwrap();
        for hides in [true, false] {
            let (score, reviewers) = if hides { ("80", "anna") } else { ("", "") };
            let said = errors(&[
                ("VORHOELLE_CONFIG", path),
                ("VORHOELLE_MIN_SCORE", score),
                ("VORHOELLE_REVIEWERS", reviewers),
            ]);
            for part in [
                "1: min_score: must be a number from 0 to 100",
                "2: reviewers: `@anna` is no",
                "3: batch.at: a digest needs times",
                "4: quiet_hours.to: is missing",
            ] {
                assert_eq!(said.matches(&format!("{path}:{part}")).count(), 1, "{part} in:\n{said}");
            }
            assert_eq!(said.lines().count(), 4, "{said}");
        }
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("3d"), Ok(Duration::from_secs(3 * 86_400)));
        for wrong in ["", "5", "m", "5 w", "-1s", "1ü", "99999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
