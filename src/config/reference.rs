//! The one list of variables and keys with what they mean: what is known, what `serve --help` prints, and the tables in
//! the operators' paper.

use std::fmt::Write as _;

use super::layers::{CHANGEABLE, defaults, leaves, variable_of};

/// A variable of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name without `VORHOELLE_`.
    pub name: &'static str,
    /// Whether its value is secret: then a variable that ends in `_FILE` may name a file that holds it.
    pub secret: bool,
    /// What holds where it is not set; empty where nothing does.
    pub default: &'static str,
    /// What it says, in one line of Markdown.
    pub meaning: &'static str,
}

const fn plain(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, secret: false, default, meaning }
}

const fn secret(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, secret: true, default: "", meaning }
}

/// Every variable, in the order in which people read of them.
pub const VARIABLES: &[Variable] = &[
    plain("GITLAB_URL", "https://gitlab.com", "the GitLab; a path prefix and plain `http` are allowed"),
    secret("GITLAB_TOKEN", "**needed**: access token of the bot, scope `api`, role Reporter or Planner"),
    plain("GITLAB_PROJECT", "", "**needed**: the project's number or `group/project`"),
    plain("GITLAB_CA_FILE", "", "PEM file with trust anchors beside the system's, for a GitLab of your own"),
    secret(
        "SETUP_TOKEN",
        "a Maintainer's token; only `setup`, and the revival of a disabled webhook, make use of it",
    ),
    plain(
        "FORMER_USERS",
        "",
        "numbers of earlier bot users, with commas between, whose issues still count as the service's own",
    ),
    secret(
        "WEBHOOK_SECRET",
        "what GitLab sends as `X-Gitlab-Token`; this or the signing token is **needed**",
    ),
    secret(
        "WEBHOOK_SIGNING_TOKEN",
        "GitLab's signing token, `whsec_…`, from GitLab 19.0 on; where both are set, both must be right",
    ),
    secret(
        "API_TOKENS",
        "`name:token` pairs with commas between; the name is what decisions are recorded under",
    ),
    plain("REVIEWERS", "", "GitLab usernames with commas between; the first is assigned, all get a ToDo"),
    plain("ENFORCE_REVIEWERS", "false", "`true`: a decision by anybody else is taken back"),
    plain("LISTEN", "127.0.0.1:8080", "address and port; where only `PORT` is set, `0.0.0.0:$PORT`"),
    plain(
        "PUBLIC_URL",
        "",
        "where GitLab and people reach the service; `setup` and links that decide need it",
    ),
    plain("DATABASE", "data/mirror.sqlite", "the mirror's file: a cache that may be deleted at any time"),
    plain("MIN_SCORE", "70", "the least score that is staged, 0 to 100"),
    plain("SYNC_INTERVAL", "5m", "how often GitLab is read in case a webhook was lost"),
    plain(
        "IDLE",
        "loops",
        "`request` for platforms that stop the clock between requests: work ends inside each request, the rest is done \
         by `POST /api/v1/tick`",
    ),
    secret(
        "SMTP_URL",
        "`smtp://user:password@host:587?tls=required` or `smtps://…`; `@` in the user is `%40`",
    ),
    plain("MAIL_FROM", "", "sender of the mails"),
    plain("MAIL_TO", "", "recipients of the mails, with commas between"),
    plain("MAIL_FILE_DIR", "", "instead of a server: each mail as an `.eml` file in this folder"),
    plain("GMAIL_CLIENT_ID", "", "the Google application that `vorhoelle gmail login` and sending use"),
    secret("GMAIL_CLIENT_SECRET", "its secret"),
    secret("GMAIL_REFRESH_TOKEN", "what `vorhoelle gmail login` printed"),
    plain("GMAIL_API_URL", "https://gmail.googleapis.com", "another address of Gmail's API"),
    plain(
        "GMAIL_TOKEN_URL",
        "https://oauth2.googleapis.com/token",
        "another address that gives out access tokens",
    ),
    secret("SLACK_WEBHOOK_URL", "Slack's incoming webhook"),
    plain("TWILIO_ACCOUNT_SID", "", "the Twilio account that WhatsApp messages go through"),
    secret("TWILIO_AUTH_TOKEN", "its token"),
    plain("TWILIO_FROM", "", "the sender's number, `+43…`"),
    plain("TWILIO_TO", "", "the recipient's number"),
    plain(
        "TWILIO_CONTENT_SID",
        "",
        "an approved template, for messages outside of WhatsApp's window of 24 hours",
    ),
    plain("TWILIO_API_URL", "https://api.twilio.com", "another address of Twilio's API"),
    secret(
        "LINK_SECRET",
        "key of the links that decide, as `openssl rand -hex 32` makes one; without it links lead to the GitLab issue only",
    ),
    plain("EVENTS_URL", "", "where signed events about matches go"),
    secret("EVENTS_SECRET", "key that signs them, `whsec_…`"),
    plain("TEMPLATES", "", "folder whose files override the embedded texts one by one"),
    plain("CONFIG", "config/notification-channels.yml", "the settings file"),
    plain("LOG", "info", "what is logged, in the filter syntax of tracing: `debug`, `info,vorhoelle=debug`"),
    plain("LOG_FORMAT", "text", "`text` or `json`, on stderr"),
];

/// A variable by its name without prefix.
pub(super) fn variable(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

/// Keys of the settings file and what they say; a key below another stands behind a point.
pub const KEYS: &[(&str, &str)] = &[
    ("min_score", "the least score that is staged, 0 to 100"),
    ("language", "`de` or `en`: issues, comments, messages"),
    ("reviewers", "GitLab usernames; the first is assigned, all get a ToDo"),
    ("enforce_reviewers", "`true`: a decision by anybody else is taken back"),
    ("allow_public_project", "`true`: a project that strangers can read is not refused"),
    ("sync_interval", "how often GitLab is read in case a webhook was lost"),
    ("remind_after", "a match that waits longer is reminded of once; or `off`"),
    ("expire_after", "what nobody decided by then is rejected, and can be taken back; or `off`"),
    ("quiet_alarm_after", "without a new match for so long one message says so; or `off`"),
    ("batch.mode", "`immediate` or `digest`"),
    ("batch.at", "times of day of the digests, such as `[\"08:00\", \"17:30\"]`"),
    ("batch.every", "instead of `at`: how often, such as `2h`"),
    ("batch.max", "most matches in one digest; the next ones follow in the next"),
    ("quiet_hours.from", "from when on nothing is sent, such as `\"22:00\"`"),
    ("quiet_hours.to", "until when"),
    ("quiet_hours.timezone", "in which zone, such as `Europe/Vienna`; also of `batch.at`"),
    ("quiet_hours.days", "on which days they begin, `[mon, tue, …]`; all where it is left out"),
    ("quiet_hours.urgent_score", "a match at or above it is sent all the same"),
    ("channels.NAME.enabled", "`false` switches `email`, `slack`, `whatsapp` or `todo` off"),
    ("channels.NAME.batch", "as above, for one channel; not for `todo`"),
    ("channels.NAME.quiet_hours", "as above, for one channel; not for `todo`"),
    ("channels.NAME.delay", "told only if still pending after so long; not for `todo`"),
    ("channels.NAME.action_links", "whether messages hold links that decide; `email` yes, others no"),
];

/// Every variable with what it means, as `serve --help` prints them.
pub fn help() -> String {
    let mut text = String::from("Variables, * secret: VORHOELLE_NAME_FILE may name a file that holds it.\n");
    for Variable { name, secret, default, meaning } in VARIABLES {
        let star = if *secret { "*" } else { "" };
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        let meaning = meaning.replace(['`', '*'], "");
        let _ = write!(text, "\n  VORHOELLE_{name}{star}\n      {meaning}{default}");
    }
    text
}

/// Every variable as a Markdown table.
pub fn variables_table() -> String {
    let mut table = String::from("| variable | default | meaning |\n| --- | --- | --- |\n");
    for Variable { name, secret, default, meaning } in VARIABLES {
        let secret = if *secret { " *" } else { "" };
        let _ = writeln!(table, "| `VORHOELLE_{name}`{secret} | {} | {meaning} |", code(default));
    }
    table
}

/// Every key of the settings file as a Markdown table.
pub fn keys_table() -> String {
    let defaults = leaves(&defaults());
    let mut table = String::from(
        "| key | default | in the settings issue | variable | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for (key, meaning) in KEYS {
        let default = defaults.get(*key).map(|value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string().trim_end_matches(".0").to_owned(),
        });
        let first = key.split('.').next().unwrap_or(key);
        let changeable = if CHANGEABLE.contains(&first) { "yes" } else { "no" };
        let variable = code(variable_of(key).unwrap_or_default());
        let default = code(&default.unwrap_or_default());
        let _ = writeln!(table, "| `{key}` | {default} | {changeable} | {variable} | {meaning} |");
    }
    table
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    #[test]
    fn every_variable_stands_there_once() {
        let mut names: Vec<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for variable in VARIABLES {
            assert!(!variable.meaning.is_empty() && !variable.meaning.contains('\n'), "{}", variable.name);
        }
    }

    #[test]
    fn every_key_is_one_of_the_file_and_none_is_missing() {
        let quiet = "{from: \"22:00\", to: \"07:00\", timezone: UTC, days: [mon], urgent_score: 95}";
        let yaml = |batch: &str| {
            format!(
                "min_score: 1\nlanguage: de\nreviewers: [a]\nenforce_reviewers: true\nallow_public_project: true\n\
                 sync_interval: 5m\nremind_after: 1d\nexpire_after: 1d\nquiet_alarm_after: 1d\n\
                 batch: {{mode: digest, {batch}, max: 1}}\nquiet_hours: {quiet}\n\
                 channels:\n  email: {{enabled: true, batch: {{max: 1}}, quiet_hours: {quiet}, delay: 1m, action_links: true}}\n"
            )
        };
        let mut keys = std::collections::BTreeSet::new();
        for batch in ["at: [\"08:00\"]", "every: 2h"] {
            for key in leaves(&File::parse(&yaml(batch)).unwrap()).into_keys() {
                let key = key.replace("channels.email", "channels.NAME");
                // What stands below a channel's own batch and quiet hours has been said above.
                let part = key.split('.').take(3).collect::<Vec<_>>().join(".");
                keys.insert(if key.starts_with("channels") { part } else { key });
            }
        }
        let said: std::collections::BTreeSet<String> =
            KEYS.iter().map(|(key, _)| (*key).to_owned()).collect();
        assert_eq!(said, keys);
    }
}
