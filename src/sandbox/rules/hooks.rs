//! Webhooks of the project: who may set them up, and what is not valid.

use serde_json::Value;

use super::super::hooks::{Delivery, FLAGS, Hook, Trigger, signing_key};
use super::super::people::Ability;
use super::super::refusal::Refusal;
use super::super::world::World;

/// What is to be set on a webhook.
#[derive(Clone, Debug, Default)]
pub struct HookChange {
    /// Target.
    pub url: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Secret in the clear.
    pub token: Option<String>,
    /// Signing token.
    pub signing_token: Option<String>,
    /// Flags and their values.
    pub events: Vec<(String, bool)>,
    /// Whether TLS certificates are checked.
    pub enable_ssl_verification: Option<bool>,
    /// Extra headers.
    pub custom_headers: Option<Vec<(String, String)>>,
    /// Branch filter of push events.
    pub push_events_branch_filter: Option<String>,
    /// Own template of the body.
    pub custom_webhook_template: Option<String>,
}

impl World {
    /// Sets up a webhook.
    ///
    /// # Errors
    ///
    /// 403 for all but Maintainers and Owners, 422 where something is not valid.
    pub fn create_hook(&mut self, actor: u64, change: HookChange) -> Result<u64, Refusal> {
        self.allow(Some(actor), Ability::AdminHook)?;
        self.check_hook(&change)?;
        let hook = Hook {
            id: self.id("hook", 401),
            url: String::new(),
            name: None,
            description: None,
            token: None,
            signing_token: None,
            events: vec!["push_events"],
            enable_ssl_verification: true,
            custom_headers: Vec::new(),
            push_events_branch_filter: None,
            custom_webhook_template: None,
            created_at: self.now(),
            failures: 0,
            disabled_until: None,
        };
        let id = hook.id;
        self.hooks.push(hook);
        self.set_hook(id, change);
        Ok(id)
    }

    /// Changes a webhook. Another URL forgets the secret token and the custom headers.
    ///
    /// # Errors
    ///
    /// 403 for all but Maintainers and Owners, 404 for an unknown one, 422 where something is not valid.
    pub fn update_hook(&mut self, actor: u64, id: u64, change: HookChange) -> Result<(), Refusal> {
        self.allow(Some(actor), Ability::AdminHook)?;
        self.hook(id)?;
        self.check_hook(&change)?;
        self.set_hook(id, change);
        Ok(())
    }

    /// The webhook of that id.
    ///
    /// # Errors
    ///
    /// 404.
    pub fn hook(&self, id: u64) -> Result<&Hook, Refusal> {
        self.hooks.iter().find(|hook| hook.id == id).ok_or_else(Refusal::no_row)
    }

    fn check_hook(&self, change: &HookChange) -> Result<(), Refusal> {
        if let Some(url) = &change.url {
            let fit = url::Url::parse(url)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !fit {
                return Err(Refusal::unprocessable("Invalid url given"));
            }
        }
        let signing = change.signing_token.as_deref().filter(|token| !token.is_empty());
        if self.major_version() >= 19 && signing.is_some_and(|token| signing_key(token).is_none()) {
            let reason = "must be in the format whsec_<base64-encoded 32-byte key>";
            return Err(Refusal::unprocessable(serde_json::json!({ "signing_token": [reason] })));
        }
        let headers = change.custom_headers.as_deref().unwrap_or_default();
        if headers.len() > 20 || headers.iter().any(|(key, _)| key.is_empty() || key.contains([' ', ':'])) {
            return Err(Refusal::unprocessable("Custom headers validation failed"));
        }
        Ok(())
    }

    fn set_hook(&mut self, id: u64, change: HookChange) {
        let signs = self.major_version() >= 19;
        let Some(hook) = self.hooks.iter_mut().find(|hook| hook.id == id) else {
            return;
        };
        if let Some(url) = change.url {
            if url != hook.url {
                hook.token = None;
                hook.custom_headers.clear();
            }
            hook.url = url;
        }
        let filled = |text: String| Some(text).filter(|text| !text.is_empty());
        if let Some(token) = change.token {
            hook.token = filled(token);
        }
        if let Some(token) = change.signing_token.filter(|_| signs) {
            hook.signing_token = filled(token);
        }
        if let Some(name) = change.name {
            hook.name = filled(name);
        }
        if let Some(description) = change.description {
            hook.description = filled(description);
        }
        if let Some(template) = change.custom_webhook_template {
            hook.custom_webhook_template = filled(template);
        }
        if let Some(filter) = change.push_events_branch_filter {
            hook.push_events_branch_filter = filled(filter);
        }
        if let Some(headers) = change.custom_headers {
            hook.custom_headers = headers;
        }
        hook.enable_ssl_verification = change.enable_ssl_verification.unwrap_or(hook.enable_ssl_verification);
        for (flag, wanted) in change.events {
            let Some(flag) = FLAGS.iter().copied().find(|known| *known == flag) else {
                continue;
            };
            hook.events.retain(|event| *event != flag);
            if wanted {
                hook.events.push(flag);
            }
        }
    }

    /// Removes a webhook and its log.
    ///
    /// # Errors
    ///
    /// 403 for all but Maintainers and Owners, 404 for an unknown one.
    pub fn delete_hook(&mut self, actor: u64, id: u64) -> Result<(), Refusal> {
        self.allow(Some(actor), Ability::AdminHook)?;
        self.hook(id)?;
        self.hooks.retain(|hook| hook.id != id);
        self.deliveries.retain(|entry| entry.delivery.hook != id);
        Ok(())
    }

    /// A test delivery: the newest issue, as if it had just been opened.
    ///
    /// # Errors
    ///
    /// 403, 404, 400 for a trigger that is none, 422 where there is nothing to sample.
    pub(in super::super) fn test_delivery(
        &self,
        actor: u64,
        id: u64,
        flag: &str,
    ) -> Result<Delivery, Refusal> {
        self.allow(Some(actor), Ability::AdminHook)?;
        let hook = self.hook(id)?;
        if !FLAGS.contains(&flag) {
            return Err(Refusal::parameter("trigger does not have a valid value"));
        }
        let newest = self.issues.values().max_by_key(|issue| issue.id);
        let note = self.notes.iter().rev().find(|note| !note.system);
        let sample: Option<(Trigger, Value)> = match Trigger::of_flag(flag) {
            Some(Trigger::Issue | Trigger::ConfidentialIssue) => newest.map(|issue| {
                let trigger =
                    if flag == "issues_events" { Trigger::Issue } else { Trigger::ConfidentialIssue };
                (trigger, self.issue_payload(actor, issue, Some("open"), &serde_json::json!({})).1)
            }),
            Some(trigger @ (Trigger::Note | Trigger::ConfidentialNote)) => note
                .and_then(|note| self.issues.get(&note.iid).map(|issue| (note, issue)))
                .map(|(note, issue)| (trigger, self.note_payload(actor, note, issue, "create").1)),
            _ => None,
        };
        let (trigger, body) =
            sample.ok_or_else(|| Refusal::unprocessable("Ensure the project has data to test."))?;
        Ok(Delivery {
            hook: id,
            url: hook.url.clone(),
            trigger,
            key: uuid::Uuid::new_v4().to_string(),
            event_uuid: uuid::Uuid::new_v4().to_string(),
            body,
        })
    }
}
