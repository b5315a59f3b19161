//! The webhook's own health: GitLab switches one off that fails too often, and drops what it would have delivered.

use serde::Serialize;

use super::{Engine, EngineError};
use crate::gitlab::Gitlab;

/// How to look after the webhook: with whose token, and which one is ours.
#[derive(Clone)]
pub struct HookWatch {
    /// A client whose token may read webhooks, if any may.
    pub gitlab: Gitlab,
    /// The project's number or path.
    pub project: String,
    /// Where ours delivers to.
    pub url: String,
    /// Whether the token may have it tested: the everyday one should not have that role.
    pub may_revive: bool,
}

/// How the webhook fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookHealth {
    /// It delivers.
    Executable,
    /// GitLab has switched it off for a while, or for good.
    Disabled,
    /// There is none to our address.
    Missing,
    /// No token of ours may know.
    Unknown,
}

impl Engine {
    /// Looks at the webhook, and revives a disabled one by a test delivery where a token may.
    pub async fn check_hook(&self, watch: &HookWatch) {
        let health = match self.hook_health(watch).await {
            Ok(health) => health,
            // What was known of it holds until somebody says otherwise.
            Err(EngineError::Gitlab(error)) if error.is_passing() => {
                tracing::debug!(%error, "the webhook could not be looked at");
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "no token of ours may look at the webhook");
                HookHealth::Unknown
            }
        };
        let before = self.status_mut().hook.replace(health.clone());
        if before.as_ref() == Some(&health) {
            return;
        }
        match health {
            HookHealth::Disabled => tracing::warn!(
                "GitLab has disabled our webhook; until it is revived, changes are seen by the delta read only"
            ),
            HookHealth::Missing => tracing::warn!(
                url = %watch.url,
                "the project has no webhook to {}; changes are seen by the delta read only. `vorhoelle setup` makes it",
                watch.url
            ),
            HookHealth::Executable | HookHealth::Unknown => {}
        }
    }

    async fn hook_health(&self, watch: &HookWatch) -> Result<HookHealth, EngineError> {
        let (project, _) = watch.gitlab.project(&watch.project).await?;
        let hook = project.hooks().await?.into_iter().find(|hook| hook.url == watch.url);
        let Some(hook) = hook else { return Ok(HookHealth::Missing) };
        if !hook.is_disabled() {
            return Ok(HookHealth::Executable);
        }
        if watch.may_revive && project.test_hook(hook.id).await.is_ok() {
            tracing::info!("our webhook was disabled and is revived");
            return Ok(HookHealth::Executable);
        }
        Ok(HookHealth::Disabled)
    }
}
