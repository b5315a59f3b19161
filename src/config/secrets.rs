//! Secrets come from the environment alone, or from files that it names, into a type that cannot be printed; addresses are
//! shown without their passwords.

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::environment::list;
use super::{ApiToken, Environment};
use crate::gitlab::webhook::{SigningKey, WebhookSecrets};

/// What stands in examples and is no secret, as it is or after `glpat-` and the like.
const PLACEHOLDERS: [&str; 9] = [
    "changeme",
    "change-me",
    "change_me",
    "change-me-please",
    "your-token",
    "your-token-here",
    "replace-me",
    "replaceme",
    "secret",
];

impl Environment {
    /// A secret, from its variable or from the file that another names.
    pub(super) fn secret(&self, name: &str, errors: &mut Vec<String>) -> Option<SecretString> {
        let (text, whose) = match (self.get(name), self.get(&format!("{name}_FILE"))) {
            (Some(_), Some(_)) => {
                errors.push(format!("VORHOELLE_{name} and VORHOELLE_{name}_FILE are both set; keep one"));
                return None;
            }
            (Some(text), None) => (text.to_owned(), format!("VORHOELLE_{name}")),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                // Editors of Windows begin a file with a byte order mark.
                Ok(text) => (
                    text.trim_start_matches('\u{feff}').trim().to_owned(),
                    format!("VORHOELLE_{name}_FILE: {path}"),
                ),
                Err(error) => {
                    errors.push(format!("VORHOELLE_{name}_FILE: cannot read {path}: {error}"));
                    return None;
                }
            },
            (None, None) => return None,
        };
        if is_placeholder(&text) {
            errors.push(format!("{whose} is a placeholder; put the real secret there"));
            return None;
        }
        // Pairs may stand a line each; they are looked at one by one.
        let is_list = name == "API_TOKENS";
        if text.is_empty() || (!is_list && text.chars().any(|c| c.is_whitespace() || c.is_control())) {
            errors.push(format!("{whose} is empty or holds blanks"));
            return None;
        }
        Some(SecretString::from(text))
    }

    pub(super) fn webhook(&self, errors: &mut Vec<String>) -> Option<WebhookSecrets> {
        let before = errors.len();
        let token = self.secret("WEBHOOK_SECRET", errors);
        let signing = self.secret("WEBHOOK_SIGNING_TOKEN", errors);
        let signing_key = signing.and_then(|text| {
            let key = SigningKey::parse(text.expose_secret());
            key.map_err(|error| errors.push(format!("VORHOELLE_WEBHOOK_SIGNING_TOKEN: {error}"))).ok()
        });
        let secrets = WebhookSecrets { token, signing_key };
        if secrets.is_empty() && errors.len() == before {
            errors.push(
                "VORHOELLE_WEBHOOK_SECRET or VORHOELLE_WEBHOOK_SIGNING_TOKEN is needed: without one anybody could send \
                 deliveries; make one with: openssl rand -hex 32"
                    .to_owned(),
            );
        }
        (errors.len() == before).then_some(secrets)
    }

    pub(super) fn api_tokens(&self, errors: &mut Vec<String>) -> Vec<ApiToken> {
        let Some(pairs) = self.secret("API_TOKENS", errors) else { return Vec::new() };
        let pairs = list(&pairs.expose_secret().replace(['\n', '\r'], ","));
        let mut tokens: Vec<ApiToken> = Vec::new();
        for (index, pair) in pairs.iter().enumerate() {
            let is_word = |text: &str| !text.is_empty() && !text.chars().any(char::is_whitespace);
            let parts = pair.split_once(':').filter(|(name, token)| is_word(name) && is_word(token));
            let Some((name, token)) = parts else {
                errors.push(format!(
                    "VORHOELLE_API_TOKENS: must be name:token pairs with commas between; pair {} is not",
                    index + 1
                ));
                continue;
            };
            let is_same = |other: &ApiToken| other.token.expose_secret() == token;
            if is_placeholder(token) {
                errors.push(format!("VORHOELLE_API_TOKENS: the token of {name} is a placeholder"));
            } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                // Headers carry nothing else that both sides read alike.
                errors.push(format!(
                    "VORHOELLE_API_TOKENS: the token of {name} holds other characters than ASCII's letters, digits and signs"
                ));
            } else if let Some(other) = tokens.iter().find(|other| is_same(other)) {
                errors.push(format!(
                    "VORHOELLE_API_TOKENS: {name} and {} have the same token; nobody could tell them apart",
                    other.name
                ));
            } else if tokens.iter().any(|other| other.name == name) {
                errors.push(format!("VORHOELLE_API_TOKENS: the name {name} stands there twice"));
            }
            tokens.push(ApiToken { name: name.to_owned(), token: SecretString::from(token) });
        }
        tokens
    }
}

/// Whether it is what an example says in place of a secret.
fn is_placeholder(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let bare = ["glpat-", "whsec_"].iter().find_map(|begin| text.strip_prefix(begin)).unwrap_or(&text);
    let is_filler = |c: char| matches!(c, 'x' | '.' | '*' | '…');
    text.starts_with('<')
        || PLACEHOLDERS.contains(&text.as_str())
        || (bare.chars().count() >= 3 && bare.chars().all(is_filler))
}

/// An address as it may be shown: user and password of it are not, nor what is asked with it, which often holds a key.
pub(super) fn without_password(value: &str) -> String {
    let Ok(mut url) = Url::parse(value) else { return value.to_owned() };
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !has_user && url.query().is_none() {
        return value.to_owned();
    }
    let hides_user = !has_user || url.set_username("***").and_then(|()| url.set_password(None)).is_ok();
    let query = url.query().map(|_| "***");
    url.set_query(query);
    if hides_user { url.to_string() } else { "***".to_owned() }
}

/// What was to be an address as it may be shown: a password may stand before an @ in it, and a key behind a question mark,
/// however it is written.
pub(super) fn without_password_if_mistyped(text: &str) -> String {
    let shown = text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, after)| format!("***@{after}"));
    match shown.split_once('?') {
        Some((before, _)) => format!("{before}?***"),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::{without_password, without_password_if_mistyped};

    #[test]
    fn of_an_address_neither_user_nor_query_is_shown() {
        for (address, shown) in [
            ("https://hooks.example/x", "https://hooks.example/x"),
            ("https://u:s1@hooks.example/x?token=s2", "https://***@hooks.example/x?***"),
            ("https://hooks.example/x?sig=s2", "https://hooks.example/x?***"),
            ("data/mirror.sqlite", "data/mirror.sqlite"),
        ] {
            assert_eq!(without_password(address), shown);
        }
        let shown = without_password_if_mistyped("u:s1@hooks.example/x?token=s2");
        assert_eq!(shown, "***@hooks.example/x?***");
    }
}
